//! Which measurements are compared with which, and the bars.

use super::echo::Echo;
use super::prints::Prints;
use super::starts::Starts;
use crate::table::Bar::{AtLeast, AtMost};
use crate::table::Table;

/// Everything that was measured.
pub struct Report {
    pub echo: Echo,
    pub starts: Starts,
    pub prints: Prints,
}

impl Report {
    /// As a table.
    pub fn table(self) -> Table {
        let mut table = Table::default();
        self.add_echo(&mut table);
        self.add_prints(&mut table);
        self.add_starts(&mut table);
        table
    }

    fn add_echo(&self, table: &mut Table) {
        let Echo { readable, seen, called, prompt, guest, guest_row } = &self.echo;
        table.add("shell: a key to its echo, by cursor", "ms", readable.clone());
        table.figure(readable.median() - guest.median(), "ms above", Some(AtMost(5.0)));
        table.add("  in the guest alone", "ms", guest.clone());
        table.add("    without a pause before each", "ms", guest_row.clone());
        table.add("  told to who is attached", "ms", seen.clone());
        table.add("  typed by a call of its own", "ms", called.clone());
        table.add("  at bash's prompt", "ms", prompt.clone());
    }

    fn add_prints(&self, table: &mut Table) {
        let Prints { shell, guest, service, read_large, read_small, read_processes } = &self.prints;
        table.add("shell read: 1 048 576 characters each", "MB/s", read_large.clone());
        table.figure(read_large.median(), "MB/s", Some(AtLeast(100.0)));
        table.add("  65 536 characters each", "MB/s", read_small.clone());
        table.add("  pyro workspace shell read, 1 048 576", "MB/s", read_processes.clone());
        table.add("shell output: cat of 8 MB", "MB/s", shell.clone());
        table.figure(shell.median() / guest.median(), "of the guest's", None);
        table.add("  in the guest alone", "MB/s", guest.clone());
        table.add("service output: cat of 8 MB", "MB/s", service.clone());
    }

    fn add_starts(&self, table: &mut Table) {
        let Starts { plain, file, tcp, listener, stop, shell_open, shell_close } = &self.starts;
        table.add("service start: ready as it runs", "ms", plain.clone());
        table.add("  file that is there", "ms", file.clone());
        table.add("  tcp, somebody listens", "ms", tcp.clone());
        table.add("  tcp, python3 begins to listen", "ms", listener.clone());
        table.add("service stop", "ms", stop.clone());
        table.add("shell open", "ms", shell_open.clone());
        table.add("shell close", "ms", shell_close.clone());
    }
}
