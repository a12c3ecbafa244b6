//! Where the server is.

use pyro_host::error::{Error, Result};
use ureq::http::Uri;

/// The beginning of all addresses of an OpenAI-compatible server.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Endpoint(String);

impl Endpoint {
    /// What somebody typed. Where there is no path, it is `/v1`.
    ///
    /// # Errors
    /// `invalid_argument` for what is no http URL.
    pub fn parse(text: &str) -> Result<Self> {
        let wrong = |why: &str| {
            Error::invalid(format!("--base-url {text:?} {why}"))
                .with_hint("for example http://127.0.0.1:11434/v1")
        };
        let text = text.trim().trim_end_matches('/');
        let uri: Uri = text.parse().map_err(|error| wrong("is no URL").with_source(error))?;
        match uri.scheme_str() {
            Some("http") => {}
            Some("https") => {
                return Err(wrong("wants https, which `pyro demo ollama` does not speak").with_hint(
                    "run the model on this computer (ollama serve), or bring the server here: \
                     ssh -L 11434:localhost:11434 HOST, then --base-url http://localhost:11434",
                ));
            }
            _ => return Err(wrong("does not begin with http://")),
        }
        if uri.authority().is_none_or(|authority| authority.as_str().contains('@')) {
            return Err(wrong("has a user name, which is not supported"));
        }
        if uri.query().is_some() {
            return Err(wrong("has a query, which no base URL has"));
        }
        let path = if uri.path() == "/" { "/v1" } else { "" };
        Ok(Self(format!("{text}{path}")))
    }

    /// The address of an operation.
    pub fn url(&self, operation: &str) -> String {
        format!("{}/{operation}", self.0)
    }

    /// As text.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn with_and_without_v1() {
        for text in
            ["http://localhost:1", "http://localhost:1/", "http://localhost:1/v1", "http://localhost:1/v1/"]
        {
            assert_eq!(Endpoint::parse(text).unwrap().url("chat"), "http://localhost:1/v1/chat", "{text}");
        }
        assert_eq!(Endpoint::parse("http://[::1]:8080/api/v2").unwrap().as_str(), "http://[::1]:8080/api/v2");
    }

    #[test]
    fn what_is_no_http_url_is_refused() {
        for (text, why) in [
            ("https://api.example.com/v1", "wants https"),
            ("localhost:11434", "does not begin with http://"),
            ("127.0.0.1", "does not begin with http://"),
            ("ftp://a", "does not begin with http://"),
            ("", "is no URL"),
            ("http://a b", "is no URL"),
            ("http://me:secret@a/v1", "user name"),
            ("http://a/v1?key=1", "query"),
        ] {
            let error = Endpoint::parse(text).unwrap_err();
            assert!(error.message().contains(why) && error.hint().is_some(), "{text}: {error}");
        }
    }
}
