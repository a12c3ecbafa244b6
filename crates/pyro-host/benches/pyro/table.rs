//! The table of results, as plain text.

use crate::samples::Samples;
use std::fmt;

/// A value that must not be missed, and what it holds for.
#[derive(Debug, Clone, Copy)]
pub enum Bar {
    /// The figure is at most this.
    AtMost(f64),
    /// The figure is at least this.
    AtLeast(f64),
}

impl Bar {
    fn is_met(self, figure: f64) -> bool {
        match self {
            Self::AtMost(most) => figure <= most,
            Self::AtLeast(least) => figure >= least,
        }
    }
}

impl fmt::Display for Bar {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::AtMost(most) => write!(f, "<= {most}"),
            Self::AtLeast(least) => write!(f, ">= {least}"),
        }
    }
}

/// A figure that comes of the measurements: a ratio of two medians, or a difference.
#[derive(Debug, Clone)]
struct Figure {
    value: f64,
    name: &'static str,
    bar: Option<Bar>,
}

#[derive(Debug)]
struct Row {
    what: &'static str,
    unit: &'static str,
    samples: Samples,
    figure: Option<Figure>,
}

/// Rows, in the order in which they were added.
#[derive(Debug, Default)]
pub struct Table(Vec<Row>);

impl Table {
    /// Adds what was measured.
    pub fn add(&mut self, what: &'static str, unit: &'static str, samples: Samples) {
        self.0.push(Row { what, unit, samples, figure: None });
    }

    /// Gives the last row a figure, such as its ratio to another row.
    pub fn figure(&mut self, value: f64, name: &'static str, bar: Option<Bar>) {
        if let Some(row) = self.0.last_mut() {
            row.figure = Some(Figure { value, name, bar });
        }
    }

    /// How many bars are met, and how many there are.
    pub fn verdict(&self) -> (usize, usize) {
        let figures = self.0.iter().filter_map(|row| row.figure.as_ref());
        let bars: Vec<bool> = figures.filter_map(|figure| Some(figure.bar?.is_met(figure.value))).collect();
        (bars.iter().filter(|&&is_met| is_met).count(), bars.len())
    }
}

impl fmt::Display for Table {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let header = ["what", "median", "min", "max", "n", "ratio", "of what", "bar", ""];
        let cells = self.0.iter().map(Row::cells);
        let lines: Vec<[String; 9]> = std::iter::once(header.map(str::to_owned)).chain(cells).collect();
        let width = |column: usize| lines.iter().map(|line| line[column].chars().count()).max().unwrap_or(0);
        let widths: Vec<usize> = (0..header.len()).map(width).collect();
        for line in &lines {
            let mut text = String::new();
            for (column, (cell, width)) in line.iter().zip(&widths).enumerate() {
                // Words to the left, numbers to the right.
                let padded = match column {
                    0 | 6 | 7 | 8 => format!("{cell:<width$}"),
                    _ => format!("{cell:>width$}"),
                };
                text += &padded;
                text += "  ";
            }
            writeln!(f, "{}", text.trim_end())?;
        }
        Ok(())
    }
}

impl Row {
    fn cells(&self) -> [String; 9] {
        let (min, max) = self.samples.range();
        let with_unit = |value| format!("{} {}", number(value), self.unit);
        let (mut ratio, mut name, mut bar, mut verdict) = Default::default();
        if let Some(figure) = &self.figure {
            (ratio, name) = (format!("{:.2}", figure.value), figure.name.to_owned());
            if let Some(wanted) = figure.bar {
                bar = wanted.to_string();
                verdict = if wanted.is_met(figure.value) { "met" } else { "MISSED" }.to_owned();
            }
        }
        let n_samples = self.samples.count().to_string();
        [
            self.what.into(),
            with_unit(self.samples.median()),
            number(min),
            number(max),
            n_samples,
            ratio,
            name,
            bar,
            verdict,
        ]
    }
}

/// Three digits that matter, as far as there are any.
fn number(value: f64) -> String {
    match value.abs() {
        0.0..10.0 => format!("{value:.2}"),
        10.0..100.0 => format!("{value:.1}"),
        _ => format!("{value:.0}"),
    }
}
