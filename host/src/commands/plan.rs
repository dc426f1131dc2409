//! `plan`: what `add` or `del` would change.

use anyhow::Result;
use serde_json::{Value, json};
use wasm_cni::inspect::{Planned, PlannedStep};

use super::attach::prepare;
use crate::{
    args::{Format, Plan, PlannedOperation},
    env::Env,
    table::{print, print_json},
};

pub(crate) fn plan(plan: &Plan, env: &Env) -> Result<u8> {
    let (network, at) = prepare(&plan.target, env)?;
    let runtime = env.runtime()?;
    let planned = match plan.operation {
        PlannedOperation::Add => runtime.plan_add(&network, &at)?,
        PlannedOperation::Del => runtime.plan_del(&network, &at)?,
    };
    let status = u8::from(planned.error.is_some());
    if plan.output.output == Format::Json {
        print_json(&as_json(&planned))?;
    } else {
        print(&in_words(&planned))?;
    }
    Ok(status)
}

fn as_json(planned: &Planned) -> Value {
    let error = planned.error.as_ref().map(|e| json!({ "code": e.code, "msg": e.msg, "details": e.details }));
    let addresses = planned
        .result
        .as_ref()
        .map(|result| result.ips.iter().map(|ip| Value::from(ip.address.to_string())).collect::<Value>());
    let steps: Value = planned.steps.iter().map(PlannedStep::json).collect();
    json!({ "steps": steps, "addresses": addresses, "error": error })
}

fn in_words(planned: &Planned) -> String {
    let mut text = String::new();
    for (number, step) in planned.steps.iter().enumerate() {
        let plugin = if step.plugin.is_empty() { "wasm-cni" } else { &step.plugin };
        text += &format!("{:>3}. {plugin}: {}\n", number + 1, step.text);
    }
    match (&planned.error, planned.steps.is_empty()) {
        (Some(error), true) => text += &format!("It would fail, and change nothing: {error}\n"),
        (Some(error), false) => text += &format!("Then it would fail: {error}\n"),
        (None, true) => text += "Nothing would be changed.\n",
        (None, false) => {}
    }
    text
}
