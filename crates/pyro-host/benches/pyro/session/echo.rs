//! How soon a key that is typed at a shell can be read again.

use super::guest::Guest;
use super::terminal::{Terminal, Way};
use crate::Result;
use crate::samples::Samples;
use std::time::Duration;

/// The guest's own echo is looked at so often, with as many keys after each.
const N_BLOCKS: usize = 5;

/// Keys of each block that are not counted.
const N_WARM_UP: usize = 2;

/// Before each key: nobody types faster, and the guest has nothing to do any more.
const PAUSE: Duration = Duration::from_millis(50);

/// Keys that differ from one another, so that none is taken for another.
const KEYS: std::ops::RangeInclusive<char> = 'a'..='z';

/// Milliseconds.
#[derive(Default)]
pub struct Echo {
    /// At a cooked terminal, until it is read by its cursor.
    pub readable: Samples,
    /// Until somebody at the terminal is told.
    pub seen: Samples,
    /// Typed by a call of its own.
    pub called: Samples,
    /// At the prompt of the shell, which reads key by key and prints them itself.
    pub prompt: Samples,
    /// In the guest alone, with a pause before each key.
    pub guest: Samples,
    /// In the guest alone, one right after the other.
    pub guest_row: Samples,
}

impl Echo {
    /// Measures in turns.
    pub async fn measure(guest: &Guest<'_>, n_keys: usize) -> Result<Self> {
        let mut echo = Self::default();
        let mut cooked = Terminal::open(guest, Some("exec cat > /dev/null")).await?;
        let mut prompt = Terminal::open(guest, None).await?;
        for _ in 0..N_BLOCKS {
            echo.look_in_guest(guest).await?;
            guest.rest().await;
            for (index, key) in KEYS.cycle().take(N_WARM_UP + n_keys.div_ceil(N_BLOCKS)).enumerate() {
                echo.type_key(&mut cooked, &mut prompt, key, index >= N_WARM_UP).await?;
            }
        }
        cooked.close().await?;
        prompt.close().await?;
        Ok(echo)
    }

    async fn look_in_guest(&mut self, guest: &Guest<'_>) -> Result<()> {
        match guest.program(&["echo"]).await?[..] {
            [row_us, paused_us] => {
                self.guest_row.add(row_us / 1e3);
                self.guest.add(paused_us / 1e3);
                Ok(())
            }
            ref other => Err(format!("the program in the guest printed {other:?}").into()),
        }
    }

    async fn type_key(
        &mut self,
        cooked: &mut Terminal<'_>,
        prompt: &mut Terminal<'_>,
        key: char,
        is_counted: bool,
    ) -> Result<()> {
        tokio::time::sleep(PAUSE).await;
        let attached = cooked.key(key, Way::Attached).await?;
        tokio::time::sleep(PAUSE).await;
        // Upper case, so that it is not taken for the one before.
        let called = cooked.key(key.to_ascii_uppercase(), Way::Call).await?;
        tokio::time::sleep(PAUSE).await;
        let at_prompt = prompt.key(key, Way::Attached).await?;
        if is_counted {
            self.readable.add(attached.readable_ms);
            self.seen.add(attached.seen_ms);
            self.called.add(called.readable_ms);
            self.prompt.add(at_prompt.readable_ms);
        }
        Ok(())
    }
}
