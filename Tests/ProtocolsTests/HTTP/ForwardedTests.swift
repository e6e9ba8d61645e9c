import Protocols
import Testing
import TransparentSockets

/// What servers of ours are told of clients (RFC 7239), and what becomes of what clients say themselves.
@Suite struct ForwardedTests {
    private static let client = IPAddress("192.0.2.7")!
    private static let own = IPAddress("2001:db8::1")!

    private static func written(_ forwarded: ForwardedFields, _ fields: [String] = [], host: String = "a:80") throws -> [String] {
        var writer = MessageWriter(via: nil)
        writer.forwarded = forwarded
        return try FieldChangesTests.written(writer, fields, host: host)
    }

    private static let ours = #"Forwarded: for=192.0.2.7;by="[2001:db8::1]";host="a:80";proto=http"#

    @Test func forwarded() throws {
        #expect(try Self.written(ForwardedFields(of: Self.client, by: Self.own)) == [Self.ours])
        #expect(
            try Self.written(ForwardedFields(of: IPAddress("::ffff:192.0.2.7")!), host: "[::1]") == [
                #"Forwarded: for=192.0.2.7;host="[::1]";proto=http"#
            ])
        #expect(
            try Self.written(ForwardedFields(of: Self.own, addsXForwarded: true)) == [
                #"Forwarded: for="[2001:db8::1]";host="a:80";proto=http"#, "X-Forwarded-For: 2001:db8::1",
                "X-Forwarded-Proto: http", "X-Forwarded-Host: a:80",
            ])
    }

    private static let claims = [
        "Forwarded: for=198.51.100.1", "X-Forwarded-For: 198.51.100.1", "X-Forwarded-Host: b", "X-Forwarded-Proto: https",
        "x-forwarded-port: 443", "X_Forwarded_For: 198.51.100.2", "X-Forwarded_User: admin", "X.Forwarded~For: 198.51.100.2",
        "X-Forwarded: kept", "X-Kept: 1",
    ]

    /// Of somebody else, nothing of it passes, in whatever spelling; of what is told, `Connection` takes nothing away.
    @Test func claimsOfClients() throws {
        let connection = ["Connection: Forwarded, X-Forwarded-For"]
        let told = ForwardedFields(of: Self.client, by: Self.own, addsXForwarded: true)
        #expect(
            try Self.written(told, connection + Self.claims) == [
                "X-Forwarded: kept", "X-Kept: 1", Self.ours, "X-Forwarded-For: 192.0.2.7", "X-Forwarded-Proto: http",
                "X-Forwarded-Host: a:80",
            ])
        #expect(
            try Self.written(ForwardedFields(of: Self.client, by: Self.own), Self.claims) == [
                "X-Forwarded: kept", "X-Kept: 1", Self.ours,
            ])
    }

    /// Of a peer that is trusted it stays, and ours stands behind it.
    @Test func claimsOfTrustedPeers() throws {
        let more = ["Forwarded: for=unknown;by=_b, For=\"[2001:db8::9]:4711\"", "X-Forwarded-For: 198.51.100.3"]
        let both = #"Forwarded: for=198.51.100.1, for=unknown;by=_b, For="[2001:db8::9]:4711", "# + Self.ours.dropFirst(11)
        let trusted = ForwardedFields(of: Self.client, by: Self.own, isTrusted: true, addsXForwarded: true)
        #expect(
            try Self.written(trusted, Self.claims + more) == [
                "X-Forwarded-Host: b", "X-Forwarded-Proto: https", "x-forwarded-port: 443", "X-Forwarded: kept", "X-Kept: 1", both,
                "X-Forwarded-For: 198.51.100.1, 198.51.100.3, 192.0.2.7",
            ])
        let onlyForwarded = ForwardedFields(of: Self.client, by: Self.own, isTrusted: true)
        #expect(
            try Self.written(onlyForwarded, Self.claims + more) == [
                "X-Forwarded-For: 198.51.100.1", "X-Forwarded-Host: b", "X-Forwarded-Proto: https", "x-forwarded-port: 443",
                "X-Forwarded: kept", "X-Kept: 1", "X-Forwarded-For: 198.51.100.3", both,
            ])
        #expect(
            try Self.written(trusted) == (try Self.written(ForwardedFields(of: Self.client, by: Self.own, addsXForwarded: true))))
    }

    /// A quote that does not end would take what we say into itself.
    @Test func whatATrustedPeerPassesOnMustMakeSense() throws {
        let trusted = ForwardedFields(of: Self.client, by: Self.own, isTrusted: true)
        #expect(try Self.written(trusted, ["Forwarded: for=192.0.2.1", "Forwarded: for=\"192.0.2.2"]) == [Self.ours])
    }

    @Test func changesComeLast() throws {
        var writer = MessageWriter(via: nil)
        writer.changes = FieldChanges(
            remove: ["Forwarded"],
            set: [("X-Forwarded-For", try FieldTemplate("{client}")), ("x-forwarded-proto", try FieldTemplate("https"))])
        writer.forwarded = ForwardedFields(of: Self.client, addsXForwarded: true, except: writer.changes.omitted)
        #expect(
            try FieldChangesTests.written(writer, Self.claims) { _ in "hidden" } == [
                "X-Forwarded: kept", "X-Kept: 1", "X-Forwarded-Host: a", "X-Forwarded-For: hidden", "x-forwarded-proto: https",
            ])
    }

    private static func isForwarded(_ text: String) -> Bool {
        let bytes = Array("<\(text)>".utf8)
        return Protocols.isForwarded(1..<bytes.count - 1, bytes.span)
    }

    /// RFC 7239 §4 and §6, its own examples among them.
    @Test(arguments: [
        "", ",", ";", "for=192.0.2.43", "for=192.0.2.43, for=198.51.100.17", #"for="_gazonk""#, #"For="[2001:db8:cafe::17]:4711""#,
        "for=192.0.2.60;proto=http;by=203.0.113.43", #"for=192.0.2.43,for="[2001:db8:cafe::17]",for=unknown"#,
        #"for=_hidden, for=_SEVKISEK"#, "for=unknown;host=a", #"for="192.0.2.1:80""#, #"for="192.0.2.1:_port""#, #"by="unknown:1""#,
        #"host="a:80";ext="\"quoted\\, ; text\"""#, "for=192.0.2.1;;proto=https,,", "for=192.0.2.1; proto=https ; by=_x",
        #"FOR=Unknown;x=1"#, #"for="[2001:db8::1]""#,
    ])
    func good(value: String) { #expect(Self.isForwarded(value)) }

    @Test(arguments: [
        "for", "for=", "=x", #"for="""#, "for=192.0.2.1;for=192.0.2.2", "for=192.0.2.1;FOR=unknown", "proto=http;x=1;Proto=https",
        "for=[2001:db8::1]", "for=2001:db8::1", #"for="2001:db8::1""#, #"for="[2001:db8::1""#, #"for="[2001:db8::g]""#,
        "for=192.0.2.1:80", "for=192.0.2.256", "for=example", "for=_", #"for="_a b""#, #"for="192.0.2.1:""#,
        #"for="192.0.2.1:999999""#,
        #"for="192.0.2.1"#, #"for="192.0.2.1\""#, #"for="192.0.2.1"x"#, "for =192.0.2.1", "for= 192.0.2.1", "for=192.0.2.1 by=_x",
        "for=192.0.2.1/24", #"for="[192.0.2.1]""#, #"for="[]""#, #"for="[""#, #"for="]:1""#,
        (0..<17).map { "a\($0)=1" }.joined(separator: ";"),
    ])
    func bad(value: String) { #expect(!Self.isForwarded(value)) }

    /// Whatever is cut off, added or turned round: what passes is closed, so that another element can follow it.
    @Test func whatPassesCanBeFollowed() {
        let whole = #"for="[2001:db8::1]:47";host="a\"b", for=_x;by=unknown"#
        for end in 0...whole.count {
            let part = String(whole.prefix(end))
            guard Self.isForwarded(part) else { continue }
            #expect(Self.isForwarded(part + ", for=192.0.2.1"), "\(part)")
            #expect(!Self.isForwarded(part + ", for=\"192.0.2.1"), "\(part)")
        }
    }
}
