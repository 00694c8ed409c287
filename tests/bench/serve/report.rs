//! What was measured beside what it should be.

/// A table's rows, printed as they come.
#[derive(Default)]
pub struct Report {
    missed: Vec<String>,
}

impl Report {
    pub fn title(&self, title: &str) {
        println!(
            "\n{title}\n{:54} {:>10} {:>8} {:>8}",
            "", "measured", "must", "aim"
        );
    }

    /// Something that has no target.
    pub fn told(&self, what: &str, value: f64) {
        println!("{what:54} {value:>10.3}");
    }

    /// Something that should be at most so much.
    pub fn target(&mut self, what: &str, value: f64, must: f64, aim: f64) {
        let verdict = match value {
            v if v <= aim => "aim met",
            v if v <= must => "met",
            _ => "MISSED",
        };
        println!("{what:54} {value:>10.3} {must:>8} {aim:>8} {verdict}");
        if value > must {
            self.missed.push(format!("{what}: {value:.3}"));
        }
    }

    pub fn end(self) {
        match self.missed.as_slice() {
            [] => println!("\nall targets met"),
            missed => println!("\nmissed: {}", missed.join("; ")),
        }
    }
}
