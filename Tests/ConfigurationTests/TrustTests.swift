import Configuration
import TLS
import TestSupport
import Testing

/// Which HTTPS proxies are believed.
@Suite struct TrustTests {
    private func trust(_ url: String, _ files: [String: String] = [:]) throws -> Trust? {
        let text = "[[upstream]]\nname = 'a'\nurl = '\(url)'"
        let configuration = try Configuration(parsing: text, file: "/etc/clearway/t.toml") { path throws(UnreadableFile) in
            guard let text = files[path] else { throw UnreadableFile("there is none") }
            return Array(text.utf8)
        }
        let member = configuration.upstreams[0].members[0]
        #expect(member.description == "\(member.scheme)://\(member.endpoint)")
        return member.trust
    }

    @Test(arguments: ["https://10.0.0.1:1", "HTTPS://10.0.0.1:1/", "https://me:secret@proxy.test:1?", "https://[2001:db8::1]:1/?"])
    func thoseThatTheSystemBelieves(url: String) throws { #expect(try trust(url) == .system) }

    @Test(arguments: ["https://10.0.0.1:1?insecure=1", "https://10.0.0.1:1/?insecure=%31"])
    func anybody(url: String) throws { #expect(try trust(url) == .anybody) }

    @Test(arguments: [
        ("ca.pem", "/etc/clearway/ca.pem"), ("/srv/a%26b%20c.pem", "/srv/a&b c.pem"), ("/srv/me%40home.pem", "/srv/me@home.pem"),
    ])
    func authoritiesOfAFile(value: String, file: String) throws {
        let authorities = try Authorities(pem: Array(authorityPEM.utf8))
        #expect(try trust("https://me:s%3Fcret@10.0.0.1:1?ca=\(value)", [file: authorityPEM]) == .authorities(authorities))
    }

    @Test(arguments: ["http://10.0.0.1:1", "socks5://10.0.0.1:1"])
    func noTLSAtAll(url: String) throws { #expect(try trust(url) == nil) }

    @Test(arguments: [
        ("", #"3:7: error: url: "/etc/clearway/ca.pem": there is no certificate in it"#),
        (
            authorityPEM.replacing("MIIB", with: "MIIA"),
            #"3:7: error: url: "/etc/clearway/ca.pem": a certificate in it is broken: "#
        ),
    ])
    func filesThatAreNone(text: String, message: String) {
        #expect {
            _ = try trust("https://10.0.0.1:1?ca=ca.pem", ["/etc/clearway/ca.pem": text])
        } throws: { "\($0)".contains(message) }
    }

    // MARK: transocks

    @Test func transocksKnowsItToo() throws {
        #expect(try Upstream.Member(transocks: "https://me:secret@proxy.test:443").trust == .system)
        #expect(try Upstream.Member(transocks: "https://10.0.0.1:443/path?insecure=1#fragment").trust == .anybody)
        #expect(try Upstream.Member(transocks: "http://10.0.0.1:443?insecure=1").trust == nil)
        let member = try Upstream.Member(transocks: "https://10.0.0.1:443")
        #expect(member.agent == "Go-http-client/1.1" && member.description == "https://10.0.0.1:443")
    }

    @Test(arguments: [
        ("https://10.0.0.1:443?ca=/no/such.pem", #"proxy_url: "/no/such.pem" cannot be read: No such file or directory"#),
        ("https://10.0.0.1:443?insecure=yes", #"proxy_url: insecure: found "yes", expected 1"#),
        ("https://10.0.0.1", "proxy_url: address 10.0.0.1: missing port in address"),
    ])
    func whatTransocksRefuses(url: String, message: String) {
        #expect {
            _ = try Upstream.Member(transocks: url)
        } throws: { "\($0)" == message }
    }
}
