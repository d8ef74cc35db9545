//! The command line of the bench.

use crate::measures;
use crate::subject::Subject;
use crate::vs;
use lexopt::{Arg, Parser, ValueExt};
use std::path::PathBuf;
use std::time::Duration;

const USAGE: &str = "\
cargo bench [-- OPTIONS]   measures modeltap between a host and clients, and the floor beside it

  --quick             every measure, short: ends within a minute
  --only NAME         only this measure; may be given again. Names: ";

const MORE: &str = "
  --rounds N          rounds of each case [7; quick 3]
  --slice TIME        length of a round with many requests, such as 300ms [400ms; quick 40ms]
  --requests N        requests before memory is told [100000; quick 2000]
  --log LEVEL         what modeltap writes on stderr: full, brief or off [full]
  --stderr WHERE      where that goes: null, or read by the bench as a host does [null]
  --json FILE         writes all figures
  --svg DIR           writes the plots
  --readme FILE       renews the table between the markers in this file
  --renew             the two above, for both READMEs and bench/results

  --vs NAME=CMD       measures another bridge, too; may be given again. NAME may be claude-channel,
                      mcptokenbridge or tiny_http (modeltap, built with the feature of that name), whose
                      ways are known; of others these options tell, which go with the --vs before
                      them. {port} in CMD or K=V is replaced by a free port; without it the tool
                      http_server_status is asked.
  --vs-env K=V        a name in its environment
  --vs-way WAY        sampling or channel [sampling]
  --vs-dialect D      one that it serves: chat_completions, messages or responses [all], or D=PATH
  --vs-hook TOOL      a tool that must be called, and runs, before it may ask
  --vs-waiting N      most requests that wait at once [4000]
";

/// What the run is to do.
#[derive(Debug, Clone)]
pub struct Options {
    pub quick: bool,
    /// Measures by name; all where none is named.
    pub only: Vec<String>,
    pub rounds: usize,
    /// The length of one round of a case.
    pub slice: Duration,
    /// Requests after which memory is told last.
    pub requests: usize,
    pub log: String,
    pub reads_stderr: bool,
    pub json: Option<PathBuf>,
    pub svg: Option<PathBuf>,
    pub readmes: Vec<PathBuf>,
    pub vs: Vec<Subject>,
}

impl Options {
    /// Reads the command line; `None` when only help was asked for.
    ///
    /// # Errors
    /// What is not understood.
    pub fn read() -> Result<Option<Options>, String> {
        let text = |e: lexopt::Error| e.to_string();
        let mut parser = Parser::from_env();
        let (mut rounds, mut slice, mut requests) = (None, None, None);
        let mut options = Options {
            quick: false,
            only: Vec::new(),
            rounds: 0,
            slice: Duration::ZERO,
            requests: 0,
            log: "full".into(),
            reads_stderr: false,
            json: None,
            svg: None,
            readmes: Vec::new(),
            vs: Vec::new(),
        };
        while let Some(arg) = parser.next().map_err(text)? {
            let name = match arg {
                // cargo bench says so by itself.
                Arg::Long("bench") => continue,
                Arg::Long("quick") => {
                    options.quick = true;
                    continue;
                }
                Arg::Long("renew") => {
                    options.svg = Some("bench/results".into());
                    options.readmes = ["README.md", "README.zh-CN.md"].map(PathBuf::from).into();
                    continue;
                }
                Arg::Long("help") | Arg::Short('h') => {
                    println!("{USAGE}{}{MORE}", measure_names());
                    return Ok(None);
                }
                Arg::Long(name) => name.to_owned(),
                other => return Err(format!("{}; see --help", other.unexpected())),
            };
            let value = parser.value().and_then(|v| v.string()).map_err(text)?;
            let wrong = |allowed: &str| format!("--{name}: {value:?}; allowed: {allowed}");
            let count = || value.parse().ok().filter(|n| *n > 0).ok_or_else(|| wrong("1 or more"));
            match name.as_str() {
                "only" if measures::ALL.iter().any(|(known, _)| *known == value) => {
                    options.only.push(value);
                }
                "only" => return Err(wrong(&measure_names())),
                "rounds" => rounds = Some(count()?),
                "requests" => requests = Some(count()?),
                "slice" => {
                    let time = humantime::parse_duration(&value);
                    slice = Some(time.map_err(|_| wrong("a time such as 300ms"))?);
                }
                "log" if ["full", "brief", "off"].contains(&value.as_str()) => options.log = value,
                "log" => return Err(wrong("full, brief, off")),
                "stderr" if ["null", "read"].contains(&value.as_str()) => {
                    options.reads_stderr = value == "read";
                }
                "stderr" => return Err(wrong("null, read")),
                "json" => options.json = Some(value.into()),
                "svg" => options.svg = Some(value.into()),
                "readme" => options.readmes.push(value.into()),
                "vs" => options.vs.push(vs::peer(&value)?),
                _ if name.starts_with("vs-") => {
                    let peer = options.vs.last_mut();
                    let peer = peer.ok_or_else(|| format!("--{name} goes behind a --vs"))?;
                    vs::set(peer, &name, &value)?;
                }
                _ => return Err(format!("there is no option --{name}; see --help")),
            }
        }
        let millis = if options.quick { 40 } else { 400 };
        options.rounds = rounds.unwrap_or(if options.quick { 3 } else { 7 });
        options.slice = slice.unwrap_or(Duration::from_millis(millis));
        options.requests = requests.unwrap_or(if options.quick { 2_000 } else { 100_000 });
        Ok(Some(options))
    }

    /// Whether a measure is wanted.
    pub fn wants(&self, measure: &str) -> bool {
        self.only.is_empty() || self.only.iter().any(|only| only == measure)
    }

    /// How many clients ask at once.
    pub fn clients(&self) -> &'static [usize] {
        if self.quick { &[1, 8, 64] } else { &[1, 8, 64, 256] }
    }
}

fn measure_names() -> String {
    measures::ALL.map(|(name, _)| name).join(", ")
}
