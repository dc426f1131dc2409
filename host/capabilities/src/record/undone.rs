//! How taking an effect back has ended.

/// What has become of an effect.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Undone {
    /// There is nothing left of it.
    All,
    /// What is there by now is something else, and was left alone; what it is, for people.
    Another(String),
}
