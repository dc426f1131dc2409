//! Medians and quartiles. Must not know: what the numbers are.

use serde::{Deserialize, Serialize};

/// A summary: count, quartiles and mean.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub(crate) struct Spread {
    pub(crate) count: usize,
    pub(crate) low: f64,
    pub(crate) median: f64,
    pub(crate) high: f64,
    pub(crate) mean: f64,
}

impl Spread {
    pub(crate) fn of(numbers: impl IntoIterator<Item = f64>) -> Self {
        let mut numbers: Vec<f64> = numbers.into_iter().collect();
        numbers.sort_by(f64::total_cmp);
        let at = |quarter: usize| quantile(&numbers, quarter);
        let mean = numbers.iter().sum::<f64>() / numbers.len() as f64;
        Self { count: numbers.len(), low: at(1), median: at(2), high: at(3), mean }
    }
}

/// Interpolates between two numbers.
fn quantile(sorted: &[f64], quarter: usize) -> f64 {
    let Some(last) = sorted.len().checked_sub(1) else { return f64::NAN };
    let (whole, rest) = (last * quarter / 4, (last * quarter % 4) as f64 / 4.0);
    let next = sorted[(whole + 1).min(last)];
    sorted[whole] + (next - sorted[whole]) * rest
}
