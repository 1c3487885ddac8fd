//! `plimsoll plan`: what a build would do.

use std::process::ExitCode;

use super::args::{PlanArgs, PlanFormat};
use super::environment::Environment;
use super::{Prepared, print};
use crate::report::plan;
use crate::ui::Event;

pub(super) fn run(args: &PlanArgs, environment: &Environment) -> ExitCode {
    let prepared = match Prepared::new(&args.build, environment) {
        Ok(prepared) => prepared,
        Err(code) => return code,
    };
    let Prepared { ui, request, signals } = &prepared;
    if request.has_several_platforms() {
        let text = format!("the plan is of the first platform, {}", request.platforms[0]);
        ui.event(&Event::Notice(text));
    }
    match crate::build::forecast(request, &signals.cancel, &|event| ui.event(&event)) {
        Ok(forecast) => {
            print(&match args.format {
                PlanFormat::Text => plan::text(&forecast),
                PlanFormat::Json => format!("{:#}\n", plan::json(&forecast)),
                PlanFormat::Mermaid => plan::mermaid(&forecast),
                PlanFormat::Svg => plan::svg(&forecast),
            });
            ExitCode::SUCCESS
        }
        Err(error) => prepared.fail(&error),
    }
}
