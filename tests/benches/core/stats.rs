//! Medians and spreads.

/// Figures of one thing, taken in turn with those of others.
#[derive(Clone, Debug, Default)]
pub struct Sample(Vec<f64>);

/// A spread beyond this is too noisy to be trusted.
pub const NOISY: f64 = 0.15;

impl Sample {
    pub fn push(&mut self, figure: f64) {
        self.0.push(figure);
        self.0.sort_by(f64::total_cmp);
    }

    pub fn median(&self) -> f64 {
        self.quantile(0.5)
    }

    /// Half the distance of the quartiles, relative to the median.
    pub fn spread(&self) -> f64 {
        (self.quantile(0.75) - self.quantile(0.25)) / 2.0 / self.median()
    }

    fn quantile(&self, q: f64) -> f64 {
        self.0[((self.0.len() - 1) as f64 * q).round() as usize]
    }

    /// `median ± spread`, in a unit of `scale`; a noisy one is marked.
    pub fn show(&self, scale: f64, digits: usize) -> String {
        let noisy = if self.spread() > NOISY { " (noisy)" } else { "" };
        format!("{:.digits$} ± {:.0} %{noisy}", self.median() / scale, self.spread() * 100.0)
    }
}
