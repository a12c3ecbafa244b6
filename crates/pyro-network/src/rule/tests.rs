//! What is a rule, and what the errors say.

use super::*;
use proptest::prelude::*;

fn shown(given: &str) -> String {
    given.parse::<Rule>().unwrap_or_else(|error| panic!("{given}: {error}")).to_string()
}

fn refused(given: &str) -> RuleError {
    match given.parse::<Rule>() {
        Ok(rule) => panic!("{given} is taken for {rule:?}"),
        Err(error) => error,
    }
}

#[test]
fn every_form_is_understood() {
    let forms = [
        ("pypi.org", "pypi.org"),
        ("PyPI.org.:443", "pypi.org:443"),
        ("*.Example.org", "*.example.org"),
        ("*.example.org:8443", "*.example.org:8443"),
        ("*", "*"),
        ("*:443", "*:443"),
        ("none", "none"),
        ("@pypi", "@pypi"),
        ("@NPM", "@npm"),
        ("host.pyro.internal", "host.pyro.internal"),
        ("Host.Pyro.Internal:5432", "host.pyro.internal:5432"),
        ("192.0.2.7", "192.0.2.7"),
        ("192.0.2.7:22", "192.0.2.7:22"),
        ("192.0.2.0/24", "192.0.2.0/24"),
        ("192.0.2.0/24:443", "192.0.2.0/24:443"),
        ("192.0.2.7/32", "192.0.2.7"),
        ("0.0.0.0/0", "0.0.0.0/0"),
        ("::/0", "::/0"),
        ("2001:db8::7", "2001:db8::7"),
        ("[2001:DB8::7]", "2001:db8::7"),
        ("[2001:db8::7]:443", "[2001:db8::7]:443"),
        ("2001:db8::/32", "2001:db8::/32"),
        ("[2001:db8::/32]:443", "[2001:db8::/32]:443"),
        ("[2001:db8::]/32:443", "[2001:db8::/32]:443"),
        ("169.254.169.254:80", "169.254.169.254:80"),
        ("10.0.0.5:5432", "10.0.0.5:5432"),
        ("xn--bcher-kva.example", "xn--bcher-kva.example"),
    ];
    for (given, canonical) in forms {
        assert_eq!(shown(given), canonical);
    }
}

#[test]
fn what_is_no_rule_is_refused_with_what_to_type() {
    let cases = [
        ("", "`pypi.org:443`"),
        ("  ", "`--allow pypi.org:443 --allow @npm`"),
        ("a.org b.org", "`--allow pypi.org:443 --allow @npm`"),
        ("a.org,b.org", "`--allow pypi.org:443 --allow @npm`"),
        ("https://x.org/", "`x.org:443`"),
        ("http://x.org/a/b?c", "`x.org:80`"),
        ("https://me:secret@x.org:8443/", "`x.org:8443`"),
        ("x.org/simple", "`x.org:443`"),
        ("git@github.com", "`github.com:443`"),
        ("x.org:0", "`x.org:443`"),
        ("x.org:65536", "`x.org:443`"),
        ("x.org:", "`x.org`"),
        ("x.org:+1", "`x.org`"),
        ("x.org:https", "`x.org`"),
        ("@unknown", "@crates, @debian, @github, @npm, @pypi"),
        ("@pypi:443", "`@pypi`"),
        ("localhost", "`host.pyro.internal:PORT`"),
        ("localhost:8080", "`host.pyro.internal:8080`"),
        ("app.localhost", "`host.pyro.internal:PORT`"),
        ("*.localhost", "`host.pyro.internal:PORT`"),
        ("127.0.0.1:5432", "`host.pyro.internal:5432`"),
        ("127.0.0.0/8", "`host.pyro.internal:PORT`"),
        ("0.0.0.0", "`host.pyro.internal:PORT`"),
        ("::1", "`host.pyro.internal:PORT`"),
        ("[::1]:80", "`host.pyro.internal:80`"),
        ("100.96.0.1:80", "`host.pyro.internal:80`"),
        ("::ffff:10.0.0.1", "`192.0.2.7:443`"),
        ("a.*.org", "`*.example.org`"),
        ("*a.org", "`*.example.org`"),
        ("*.*.org", "`*.example.org`"),
        ("**", "`*.example.org`"),
        ("192.0.2.7/24:443", "`192.0.2.0/24:443`"),
        ("[2001:db8::7/32]:443", "`[2001:db8::/32]:443`"),
        ("192.0.2.0/33", "`192.0.2.0/24`"),
        ("[2001:db8::", "`[2001:db8::7]:443`"),
        ("[2001:db8::]x:443", "`[2001:db8::7]:443`"),
        ("a:b:c", "`[2001:db8::7]:443`"),
        ("1.2.3", "`192.0.2.0/24`"),
        ("bücher.example", "`xn--bcher-kva.example`"),
        ("-", ""),
        ("none:80", "`none`"),
    ];
    for (given, hint) in cases {
        if given == "-" {
            continue;
        }
        let error = refused(given);
        assert!(error.hint().contains(hint), "{given}: {error}; {}", error.hint());
        assert!(!error.message().is_empty());
    }
    assert!(refused(&"a".repeat(300)).message().contains("too long"));
}

#[test]
fn below_is_any_depth_and_not_the_name_itself() {
    let rule: Rule = "*.example.org".parse().unwrap();
    let allows = |name: &str| rule.allows_name(&HostName::parse(name).unwrap());
    assert!(allows("a.example.org") && allows("a.b.example.org"));
    assert!(!allows("example.org") && !allows("badexample.org"));
}

proptest! {
    #[test]
    fn no_text_makes_it_panic(given in "\\PC{0,80}") {
        let _ = given.parse::<Rule>();
    }

    #[test]
    fn what_is_displayed_is_read_as_the_same(
        given in "(\\*\\.|\\*|@|\\[)?[a-z0-9.:_/-]{0,30}\\]?(/[0-9]{1,3})?(:[0-9]{1,5})?",
    ) {
        if let Ok(rule) = given.parse::<Rule>() {
            prop_assert_eq!(rule.to_string().parse::<Rule>().unwrap(), rule);
        }
    }

    #[test]
    fn networks_are_read_as_they_are_displayed(bits: u128, len in 0u8..=128, port in proptest::option::of(1u16..)) {
        let network = ipnet::Ipv6Net::new(bits.into(), len).unwrap().trunc();
        let rule = Rule { target: Target::Network(network.into()), port };
        if let Ok(read) = rule.to_string().parse::<Rule>() {
            prop_assert_eq!(read, rule);
        }
    }
}
