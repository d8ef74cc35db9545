//! `modeltap token`: makes, shows, changes and ends tokens in their file. Running bridges see it by
//! themselves.

use super::{Fault, note, print, token_words as words};
use crate::access::shared_file;
use crate::access::token::{Scope, Secret, State, Token, check_glob, check_name, moment, new_id};
use crate::access::token_file::TokenFile;
use crate::access::usage::Usages;
use crate::clock::LAST_SECOND;
use crate::config;
use lexopt::{Arg, Parser, ValueExt};
use std::num::{NonZeroU64, NonZeroUsize};
use std::str::FromStr;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

/// The longest wait for another process that changes the file.
const LOCK: Duration = Duration::from_secs(10);

const USAGE: &str = "\
Tokens let clients ask the bridges that go by their file. As long as it lists any, each client is asked for one.

Usage: modeltap token add NAME [LIMITS]   make a token; it is printed this once
       modeltap token list [--json]       all tokens, and what each has used
       modeltap token show NAME [--json]  all that is known of one
       modeltap token revoke NAME         take it back; it stays listed
       modeltap token remove NAME         forget it, and what it has used
       modeltap token rotate NAME         give it another secret, and take the old one back
       modeltap token extend NAME [--expires WHEN] [--requests N]
                                          give it more time, or so many requests more

A NAME is 1 to 64 letters, digits, - _ . @. Each command takes --tokens FILE [MODELTAP_TOKENS, or else
modeltap/tokens.json in ~/.config, in $XDG_CONFIG_HOME, or in %APPDATA% on Windows].

Limits of a new token, with what holds [without them]:
  --expires WHEN         a time from now such as 24h or 30days, a moment such as 2026-12-31T00:00:00Z, never [never]
  --models GLOB,…        models that it may ask for, such as gpt-*,claude-sonnet-5 [all]
  --routes NAME,…        of chat, messages, responses, models, metrics, admin [chat,messages,responses,models]
  --rate RATE            requests, such as 60/min, 5/s, 1000/day [no limit]
  --concurrent N         requests at work at once [no limit]
  --requests N           requests in all its life [no limit]
  --tokens-per-day N     tokens of prompts and completions in a UTC day [no limit]
  --from CIDR,…          addresses that it may come from, such as 10.0.0.0/8,::1 [anywhere]
";

impl From<shared_file::Fault> for Fault {
    fn from(fault: shared_file::Fault) -> Self {
        Fault::Failed(fault.to_string())
    }
}

/// Runs what the rest of the command line asks for.
///
/// # Errors
/// Why it was not done.
pub fn run(mut args: Parser) -> Result<(), Fault> {
    let unread = |e: lexopt::Error| Fault::Usage(format!("{e}; see modeltap token --help"));
    let command = match args.next().map_err(unread)? {
        None => String::new(),
        Some(Arg::Long("help") | Arg::Short('h')) => return told(USAGE),
        Some(Arg::Value(name)) => name.string().map_err(unread)?,
        Some(other) => return Err(unread(other.unexpected())),
    };
    let (flags, run): (&[&str], Run) = match command.as_str() {
        "add" => (ADDED, add),
        "list" => (&["json"], list),
        "show" => (&["json"], show),
        "revoke" => (&[], revoke),
        "remove" => (&[], remove),
        "rotate" => (&[], rotate),
        "extend" => (&["expires", "requests"], extend),
        other => {
            let said = if other.is_empty() { "say what to do" } else { "there is no such command" };
            return Err(Fault::Usage(format!(
                "token {other:?}: {said}; allowed: add, list, show, revoke, remove, rotate, \
                 extend; see modeltap token --help"
            )));
        }
    };
    match Given::read(&command, flags, args)? {
        Some(given) => run(&given),
        None => told(USAGE),
    }
}

type Run = fn(&Given) -> Result<(), Fault>;

/// The flags of `token add`.
const ADDED: &[&str] =
    &["expires", "models", "routes", "rate", "concurrent", "requests", "tokens-per-day", "from"];

/// What the command line says.
struct Given {
    name: String,
    json: bool,
    flags: Vec<(String, String)>,
    file: TokenFile,
    now: SystemTime,
}

impl Given {
    /// `None` where help is asked for.
    fn read(command: &str, allowed: &[&str], mut args: Parser) -> Result<Option<Self>, Fault> {
        let usage = |said: String| Fault::Usage(format!("token {command}: {said}"));
        let unread = |e: lexopt::Error| usage(format!("{e}; see modeltap token --help"));
        let (mut name, mut json, mut flags) = (None, false, Vec::<(String, String)>::new());
        while let Some(arg) = args.next().map_err(unread)? {
            match arg {
                Arg::Long("help") | Arg::Short('h') => return Ok(None),
                Arg::Long("json") if allowed.contains(&"json") => json = true,
                Arg::Long(flag) if flag == "tokens" || allowed.contains(&flag) => {
                    let flag = flag.to_owned();
                    let value = args.value().and_then(|value| value.string()).map_err(unread)?;
                    if flags.iter().any(|(other, _)| *other == flag) {
                        return Err(usage(format!("--{flag} is given twice")));
                    }
                    flags.push((flag, value));
                }
                Arg::Value(value) if name.is_none() && command != "list" => {
                    name = Some(value.string().map_err(unread)?);
                }
                other => return Err(unread(other.unexpected())),
            }
        }
        if command != "list" {
            let name = name.as_deref().ok_or_else(|| usage("a NAME is needed".into()))?;
            check_name(name).map_err(|allowed| usage(format!("{name:?}: {allowed}")))?;
        }
        let flag = flags.iter().find(|(flag, _)| flag == "tokens").map(|(_, file)| file.as_str());
        let path = config::tokens(flag, |name| std::env::var(name).ok()).map_err(usage)?;
        let path = path.ok_or_else(|| {
            usage("no file of tokens is set: give --tokens FILE, or set MODELTAP_TOKENS".into())
        })?;
        let (file, now) = (TokenFile::new(path), now());
        Ok(Some(Given { name: name.unwrap_or_default(), json, flags, file, now }))
    }

    /// The value of a flag as `read` understands it; what `allowed` says is told where it does not.
    fn value<T>(
        &self,
        flag: &str,
        allowed: &str,
        read: impl FnOnce(&str) -> Option<T>,
    ) -> Result<Option<T>, Fault> {
        let Some((_, text)) = self.flags.iter().find(|(given, _)| given == flag) else {
            return Ok(None);
        };
        read(text).map(Some).ok_or_else(|| {
            Fault::Usage(format!("--{flag}: {text:?} is not understood; allowed: {allowed}"))
        })
    }

    /// A flag whose value is a list; empty where the flag is not given.
    fn list<T: FromStr>(&self, flag: &str, allowed: &str) -> Result<Vec<T>, Fault> {
        let read = |text: &str| text.split(',').map(|one| one.trim().parse().ok()).collect();
        Ok(self.value(flag, allowed, read)?.unwrap_or_default())
    }

    fn expires(&self) -> Result<Option<Expiry>, Fault> {
        self.value(
            "expires",
            "a time from now such as 24h or 30days, a moment to come such as \
             2026-12-31T00:00:00Z, or never",
            |text| Expiry::read(text, self.now),
        )
    }

    fn requests(&self) -> Result<Option<NonZeroU64>, Fault> {
        self.value("requests", WHOLE, |text| text.parse().ok())
    }

    /// Changes the token of the name.
    fn change<T>(&self, change: impl FnOnce(&mut Token) -> Result<T, Fault>) -> Result<T, Fault> {
        self.file.change(LOCK, |tokens| {
            let token = tokens.iter_mut().find(|token| token.name == self.name);
            change(token.ok_or_else(|| self.unknown())?)
        })
    }

    fn unknown(&self) -> Fault {
        Fault::Failed(format!(
            "no token is named {} in {}; see modeltap token list",
            self.name,
            self.file.path().display()
        ))
    }
}

const WHOLE: &str = "a whole number from 1";

/// Now, in the whole seconds that people read.
fn now() -> SystemTime {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    UNIX_EPOCH + Duration::from_secs(since.as_secs())
}

/// What `--expires` says.
#[derive(Clone, Copy)]
enum Expiry {
    Never,
    In(Duration),
    At(SystemTime),
}

impl Expiry {
    fn read(text: &str, now: SystemTime) -> Option<Self> {
        if text == "never" {
            return Some(Expiry::Never);
        }
        match humantime::parse_rfc3339(text) {
            Ok(time) => (time > now).then_some(Expiry::At(time)),
            Err(_) => {
                let time = humantime::parse_duration(text).ok()?;
                // Where it ends, counted from whenever, there must still be a way to write it.
                let most = Duration::from_secs(LAST_SECOND / 4);
                (Duration::from_secs(1)..=most).contains(&time).then_some(Expiry::In(time))
            }
        }
    }

    /// The moment, counted from `start`.
    fn from(self, start: SystemTime) -> Option<SystemTime> {
        match self {
            Expiry::Never => None,
            Expiry::In(time) => Some(start + time),
            Expiry::At(time) => Some(time),
        }
    }
}

fn add(given: &Given) -> Result<(), Fault> {
    let models: Vec<String> = given.list("models", "names or globs, separated by commas")?;
    for glob in &models {
        check_glob(glob).map_err(|said| Fault::Usage(format!("--models: {glob:?}: {said}")))?;
    }
    let scopes: Vec<Scope> = given.list("routes", &Scope::ALL.map(|(name, _)| name).join(", "))?;
    let secret = Secret::new().map_err(no_random)?;
    let mut token = Token {
        id: new_id().map_err(no_random)?,
        name: given.name.clone(),
        hash: secret.hash(),
        created: given.now,
        expires: given.expires()?.and_then(|expiry| expiry.from(given.now)),
        revoked: None,
        models,
        scopes: if scopes.is_empty() { Scope::USUAL.to_vec() } else { scopes },
        rate: given.value("rate", "60/min, 5/s, 100/h, 1000/day", |text| text.parse().ok())?,
        concurrent: given
            .value("concurrent", WHOLE, |text| text.parse::<NonZeroUsize>().ok())?
            .map(NonZeroUsize::get),
        requests: given.requests()?.map(NonZeroU64::get),
        tokens_per_day: given
            .value("tokens-per-day", WHOLE, |text| text.parse::<NonZeroU64>().ok())?
            .map(NonZeroU64::get),
        from: given.list("from", "ranges such as 10.0.0.0/8 or ::1, separated by commas")?,
    };
    given.file.change(LOCK, |tokens| {
        if tokens.iter().any(|other| other.name == token.name) {
            return Err(Fault::Failed(format!(
                "{0} is there already: modeltap token rotate {0} gives it another secret, \
                 modeltap token remove {0} makes room for a new one",
                token.name
            )));
        }
        while tokens.iter().any(|other| other.id == token.id) {
            token.id = new_id().map_err(no_random)?;
        }
        tokens.push(token.clone());
        Ok(())
    })?;
    hand_out(given, "made", &secret)?;
    note("bridges that go by this file ask every client for a token, from now on");
    Ok(())
}

fn no_random(error: getrandom::Error) -> Fault {
    Fault::Failed(format!("the system gives no random numbers: {error}"))
}

/// Prints a secret, alone on standard output.
fn hand_out(given: &Given, done: &str, secret: &Secret) -> Result<(), Fault> {
    let file = given.file.path();
    note(&format!("{done} the token {} in {}; it is shown this once:", given.name, file.display()));
    print(&format!("{}\n", secret.text())).map_err(|e| {
        Fault::Failed(format!(
            "the token could not be printed ({e}) and is lost; modeltap token rotate {} gives another",
            given.name
        ))
    })?;
    note(
        "clients send it as their API key: curl -H \"Authorization: Bearer $TOKEN\" \
         http://127.0.0.1:8787/v1/models",
    );
    Ok(())
}

fn rotate(given: &Given) -> Result<(), Fault> {
    let secret = Secret::new().map_err(no_random)?;
    let state = given.change(|token| {
        refuse_revoked(token)?;
        token.hash = secret.hash();
        Ok(token.state(given.now))
    })?;
    hand_out(given, "changed", &secret)?;
    note("the one before is refused within a second");
    if let State::Expired(when) = state {
        let (name, when) = (&given.name, moment(when));
        note(&format!("it expired at {when}; modeltap token extend {name} --expires 24h"));
    }
    Ok(())
}

fn refuse_revoked(token: &Token) -> Result<(), Fault> {
    let Some(when) = token.revoked else { return Ok(()) };
    Err(Fault::Failed(format!(
        "{0} was revoked at {1}, for good: modeltap token remove {0} makes room for a new one of \
         the name",
        token.name,
        moment(when)
    )))
}

fn revoke(given: &Given) -> Result<(), Fault> {
    let before = given.change(|token| {
        let before = token.revoked;
        token.revoked = before.or(Some(given.now));
        Ok(before)
    })?;
    match before {
        None => note(&format!("revoked {}: it is refused within a second", given.name)),
        Some(when) => note(&format!("{} was revoked already, at {}", given.name, moment(when))),
    }
    Ok(())
}

fn remove(given: &Given) -> Result<(), Fault> {
    let left = given.file.change(LOCK, |tokens| {
        let before = tokens.len();
        tokens.retain(|token| token.name != given.name);
        if tokens.len() == before { Err(given.unknown()) } else { Ok(tokens.len()) }
    })?;
    note(&format!("removed {}: it is refused within a second", given.name));
    if left == 0 {
        note(
            "no token is left: bridges that go by this file ask nobody for one from now on, \
             unless they have a MODELTAP_API_KEY",
        );
    }
    Ok(())
}

fn extend(given: &Given) -> Result<(), Fault> {
    let (expiry, requests) = (given.expires()?, given.requests()?);
    if expiry.is_none() && requests.is_none() {
        return Err(Fault::Usage("token extend: --expires or --requests is needed".into()));
    }
    let name = &given.name;
    let refused = |said: &str| Fault::Failed(format!("{name} {said}"));
    let token = given.change(|token| {
        refuse_revoked(token)?;
        if let Some(expiry) = expiry {
            let end = token.expires.ok_or_else(|| refused("never expires"))?;
            let until = expiry.from(end.max(given.now));
            if until.is_some_and(|until| until <= end) {
                return Err(refused(&format!("expires at {}, which is later", moment(end))));
            }
            token.expires = until;
        }
        if let Some(more) = requests {
            let most = token.requests.ok_or_else(|| refused("has no limit of requests"))?;
            token.requests = Some(most.saturating_add(more.get()));
        }
        Ok(token.clone())
    })?;
    let until =
        token.expires.map_or("never expires".into(), |when| format!("expires at {}", moment(when)));
    let requests = token.requests.map_or("has no limit of requests".into(), |requests| {
        format!("may send {requests} requests in all")
    });
    note(&format!("{name} {until} and {requests}"));
    Ok(())
}

/// The tokens and what each has used; what is wrong with the files but does not keep them from
/// being read is told aside.
fn read(given: &Given) -> Result<(Vec<Token>, Usages), Fault> {
    let Some(listed) = given.file.read()? else { return Ok(Default::default()) };
    listed.warning.iter().for_each(|warning| note(warning));
    let usage = given.file.usage().unwrap_or_else(|fault| {
        note(&format!("what was used is not known: {fault}"));
        Usages::new()
    });
    Ok((listed.tokens, usage))
}

fn list(given: &Given) -> Result<(), Fault> {
    let (tokens, usage) = read(given)?;
    let path = given.file.path();
    if given.json {
        return told(&words::list_json(&path, &tokens, &usage, given.now));
    }
    if tokens.is_empty() {
        let path = path.display();
        note(&format!("no tokens in {path}; modeltap token add NAME makes one"));
        return Ok(());
    }
    told(&words::table(&tokens, &usage, given.now))
}

fn show(given: &Given) -> Result<(), Fault> {
    let (tokens, usage) = read(given)?;
    let token = tokens.iter().find(|token| token.name == given.name);
    let token = token.ok_or_else(|| given.unknown())?;
    let usage = usage.get(&token.id).cloned().unwrap_or_default();
    told(&match given.json {
        true => words::json(token, &usage, given.now),
        false => words::all(token, &usage, given.now),
    })
}

/// Prints; a reader that wants no more, such as `head`, is no fault.
fn told(text: &str) -> Result<(), Fault> {
    let _ = print(text);
    Ok(())
}
