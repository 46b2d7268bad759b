//! A linear program as data: objective, bounds, sparse two-sided rows.

use crate::OptimError;
use crate::rows::dot;

/// Minimise `c.x` subject to `lo_r <= a_r.x <= hi_r` and `l_j <= x_j <= u_j`.
///
/// Sides and bounds may be infinite; equal sides are an equality. Rows are
/// sparse and stored one after the other. Building never fails; solvers call
/// [`LinearProgram::check`] first.
///
/// ```
/// use optim::lp::LinearProgram;
///
/// let mut lp = LinearProgram::new();
/// let x = lp.variable(1.0, 0.0, f64::INFINITY);
/// let y = lp.variable(2.0, 0.0, f64::INFINITY);
/// lp.at_least([(x, 1.0), (y, 1.0)], 3.0);
/// assert_eq!(lp.objective_at(&[3.0, 0.0]), 3.0);
/// assert_eq!(lp.violation(&[1.0, 0.0]), 2.0);
/// ```
#[derive(Debug, Clone, PartialEq)]
pub struct LinearProgram {
    costs: Vec<f64>,
    bounds: Vec<(f64, f64)>,
    sides: Vec<(f64, f64)>,
    /// Row `r` owns `columns[starts[r]..starts[r + 1]]` and the same of `values`.
    starts: Vec<usize>,
    columns: Vec<usize>,
    values: Vec<f64>,
}

impl Default for LinearProgram {
    fn default() -> Self {
        Self::new()
    }
}

impl LinearProgram {
    /// A program without variables and rows.
    pub fn new() -> Self {
        Self {
            costs: Vec::new(),
            bounds: Vec::new(),
            sides: Vec::new(),
            starts: vec![0],
            columns: Vec::new(),
            values: Vec::new(),
        }
    }

    /// Adds a variable with its cost and bounds; returns its index.
    pub fn variable(&mut self, cost: f64, lower: f64, upper: f64) -> usize {
        self.costs.push(cost);
        self.bounds.push((lower, upper));
        self.costs.len() - 1
    }

    /// Adds the row `lower <= sum of terms <= upper`; returns its index.
    ///
    /// A term is `(variable, coefficient)`; each variable at most once.
    pub fn row(
        &mut self,
        terms: impl IntoIterator<Item = (usize, f64)>,
        lower: f64,
        upper: f64,
    ) -> usize {
        for (column, value) in terms {
            self.columns.push(column);
            self.values.push(value);
        }
        self.starts.push(self.columns.len());
        self.sides.push((lower, upper));
        self.sides.len() - 1
    }

    /// Adds the row `sum of terms >= side`; returns its index.
    pub fn at_least(&mut self, terms: impl IntoIterator<Item = (usize, f64)>, side: f64) -> usize {
        self.row(terms, side, f64::INFINITY)
    }

    /// Adds the row `sum of terms <= side`; returns its index.
    pub fn at_most(&mut self, terms: impl IntoIterator<Item = (usize, f64)>, side: f64) -> usize {
        self.row(terms, f64::NEG_INFINITY, side)
    }

    /// Adds the row `sum of terms = side`; returns its index.
    pub fn equal(&mut self, terms: impl IntoIterator<Item = (usize, f64)>, side: f64) -> usize {
        self.row(terms, side, side)
    }

    /// Number of variables.
    pub fn variables(&self) -> usize {
        self.costs.len()
    }

    /// Number of rows.
    pub fn rows(&self) -> usize {
        self.sides.len()
    }

    /// Number of stored coefficients.
    pub fn nonzeros(&self) -> usize {
        self.values.len()
    }

    /// Cost of each variable.
    pub fn costs(&self) -> &[f64] {
        &self.costs
    }

    /// Lower and upper bound of each variable.
    pub fn bounds(&self) -> &[(f64, f64)] {
        &self.bounds
    }

    /// Lower and upper side of each row.
    pub fn sides(&self) -> &[(f64, f64)] {
        &self.sides
    }

    /// Terms of row `r`, as `(variable, coefficient)`.
    pub fn terms(&self, r: usize) -> impl Iterator<Item = (usize, f64)> + '_ {
        let range = self.starts[r]..self.starts[r + 1];
        let columns = self.columns[range.clone()].iter().copied();
        columns.zip(self.values[range].iter().copied())
    }

    /// `c.x`.
    pub fn objective_at(&self, x: &[f64]) -> f64 {
        dot(&self.costs, x)
    }

    /// `a_r.x`.
    pub fn row_at(&self, r: usize, x: &[f64]) -> f64 {
        self.terms(r).map(|(j, a)| a * x[j]).sum()
    }

    /// The largest violation of a row's side or a variable's bound at `x`; 0 if none.
    pub fn violation(&self, x: &[f64]) -> f64 {
        let outside = |v: f64, (lower, upper): (f64, f64)| (lower - v).max(v - upper);
        let rows = (0..self.rows()).map(|r| outside(self.row_at(r, x), self.sides[r]));
        let bounds = x.iter().zip(&self.bounds).map(|(&v, &b)| outside(v, b));
        rows.chain(bounds).fold(0.0, f64::max)
    }

    /// The dual value of `duals` (one per row) for the objective gradient `gradient`.
    ///
    /// With reduced costs `d = gradient - A' y`, a positive multiplier pays its
    /// lower side and a negative one its upper side, rows and bounds alike:
    /// `sum y+ lo - y- hi + sum d+ l - d- u`. What presses on an infinite side
    /// has no finite price: it is left out of the value, and its largest
    /// magnitude is the infeasibility of the dual point.
    pub fn dual_value(&self, gradient: &[f64], duals: &[f64]) -> DualValue {
        let mut value = DualValue {
            objective: 0.0,
            infeasibility: 0.0,
        };
        let mut reduced = gradient.to_vec();
        for (r, &y) in duals.iter().enumerate() {
            for (j, a) in self.terms(r) {
                reduced[j] -= a * y;
            }
            value.pay(y, self.sides[r]);
        }
        for (&d, &bounds) in reduced.iter().zip(&self.bounds) {
            value.pay(d, bounds);
        }
        value
    }

    /// Whether the program is well formed.
    ///
    /// # Errors
    /// [`OptimError::Program`] for a cost or coefficient that is not finite, a
    /// bound or side that is not a number or leaves nothing between, and a term
    /// whose variable does not exist or occurs twice in its row.
    pub fn check(&self) -> Result<(), OptimError> {
        for (j, &cost) in self.costs.iter().enumerate() {
            let at = || format!("cost of variable {j}");
            require(cost.is_finite(), at, "a finite number", cost)?;
            check_interval(self.bounds[j], || format!("bounds of variable {j}"))?;
        }
        let mut seen = vec![usize::MAX; self.variables()];
        for (r, &sides) in self.sides.iter().enumerate() {
            check_interval(sides, || format!("sides of row {r}"))?;
            for (j, a) in self.terms(r) {
                let at = || format!("row {r}, variable {j}");
                require(a.is_finite(), at, "a finite coefficient", a)?;
                let known = j < self.variables();
                require(known, at, "a variable of this program", j)?;
                require(seen[j] != r, at, "each variable once", "a second term")?;
                seen[j] = r;
            }
        }
        Ok(())
    }
}

/// What a dual point is worth; see [`LinearProgram::dual_value`].
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct DualValue {
    /// Value of the priced part: a lower bound of the optimum when `infeasibility` is 0.
    pub objective: f64,
    /// Largest multiplier that presses on an infinite side; 0 at a feasible dual point.
    pub infeasibility: f64,
}

impl DualValue {
    fn pay(&mut self, multiplier: f64, (lower, upper): (f64, f64)) {
        let side = if multiplier > 0.0 { lower } else { upper };
        if side.is_finite() {
            self.objective += multiplier * side;
        } else {
            self.infeasibility = self.infeasibility.max(multiplier.abs());
        }
    }
}

fn check_interval((lower, upper): (f64, f64), at: impl Fn() -> String) -> Result<(), OptimError> {
    let sound = lower <= upper && lower < f64::INFINITY && upper > f64::NEG_INFINITY;
    require(sound, at, "lower <= upper", format!("[{lower}, {upper}]"))
}

fn require(
    holds: bool,
    at: impl Fn() -> String,
    expected: &'static str,
    got: impl ToString,
) -> Result<(), OptimError> {
    if holds {
        return Ok(());
    }
    Err(OptimError::Program {
        at: at(),
        expected,
        got: got.to_string(),
    })
}
