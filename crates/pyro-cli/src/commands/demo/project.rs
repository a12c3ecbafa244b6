//! The small project of the story: a shop that cannot multiply yet.

use pyro_host::error::{Context, ErrorKind, Result};
use std::fs;
use std::path::{Path, PathBuf};
use tempfile::TempDir;

const PRICES: &str = r#""""What a basket costs."""

CENTS = {"apple": 30, "bread": 250, "milk": 120}


def total(basket):
    """The sum in cents; {"apple": 2} is two apples."""
    return sum(CENTS[name] for name in basket)
"#;

/// The line that is wrong, and what it should be.
const BUG: (&str, &str) =
    ("sum(CENTS[name] for name in basket)", "sum(CENTS[name] * count for name, count in basket.items())");

const TEST: &str = r#"import unittest

from prices import total


class Total(unittest.TestCase):
    def test_two_apples_cost_twice_as_much(self):
        self.assertEqual(total({"apple": 2, "milk": 1}), 180)
"#;

const WEB: &str = r#"from http.server import BaseHTTPRequestHandler, HTTPServer
from urllib.parse import parse_qsl, urlsplit

from prices import total


class Shop(BaseHTTPRequestHandler):
    def do_GET(self):
        basket = {name: int(count) for name, count in parse_qsl(urlsplit(self.path).query)}
        self.send_response(200)
        self.end_headers()
        self.wfile.write(f"{total(basket)} cents\n".encode())


HTTPServer(("127.0.0.1", 8000), Shop).serve_forever()
"#;

/// What the shop asks for two apples and a milk.
pub const BASKET: &str = "http://127.0.0.1:8000/?apple=2&milk=1";

/// The answer of a shop that can multiply.
pub const PRICE: &str = "180 cents";

/// The project on this host, in a folder that is deleted with this.
#[derive(Debug)]
pub struct Project {
    folder: TempDir,
}

impl Project {
    /// Writes it, with its bug, and the fix beside it.
    pub fn write() -> Result<Self> {
        let failing = || "could not write the project of the demo into a temporary folder".to_owned();
        let folder =
            tempfile::Builder::new().prefix("pyro-demo-").tempdir().failing(ErrorKind::Io, failing)?;
        let project = Self { folder };
        let fixed = PRICES.replace(BUG.0, BUG.1);
        for (folder, name, content) in [
            (project.seed(), "prices.py", PRICES),
            (project.seed(), "test_prices.py", TEST),
            (project.seed(), "web.py", WEB),
            (project.fix(), "prices.py", &fixed),
        ] {
            fs::create_dir_all(&folder).failing(ErrorKind::Io, failing)?;
            fs::write(folder.join(name), content).failing(ErrorKind::Io, failing)?;
        }
        Ok(project)
    }

    /// The project.
    pub fn seed(&self) -> PathBuf {
        self.path().join("shop")
    }

    /// The file that is right.
    pub fn fix(&self) -> PathBuf {
        self.path().join("fix")
    }

    /// Where the export goes.
    pub fn receipt(&self) -> PathBuf {
        self.path().join("receipt.txt")
    }

    fn path(&self) -> &Path {
        self.folder.path()
    }
}
