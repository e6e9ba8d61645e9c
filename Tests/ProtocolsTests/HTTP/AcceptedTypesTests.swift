import Testing

@testable import Protocols

@Suite struct AcceptedTypesTests {
    private func prefers(_ lines: String...) throws -> Bool {
        let bytes = Array(("GET / HTTP/1.1\r\nHost: a\r\n" + lines.map { "\($0)\r\n" }.joined() + "\r\n").utf8)
        var reader = HeadReader(.request)
        #expect(try reader.read(bytes.span))
        return prefersHTML(reader, bytes.span)
    }

    @Test func browsersDo() throws {
        for line in [
            "Accept: text/html,application/xhtml+xml,application/xml;q=0.9,image/avif,*/*;q=0.8", "Accept: text/html",
            "ACCEPT: TEXT/HTML;q=0.001",
            "Accept: text/plain;q=0.5, text/html;q=0.6", "Accept: text/html;level=1, */*;q=0.1", "Accept: */*, text/plain;q=0.9",
        ] { #expect(try prefers(line), "\(line)") }
        #expect(try prefers("Accept: text/plain;q=0.5", "Accept: text/html"))
    }

    @Test func programsDoNot() throws {
        #expect(try !prefers())
        for line in [
            "Accept: */*", "Accept: text/*", "Accept:", "Accept: ,,;;=", "Accept: text/html;q=0", "Accept: text/html;q=2",
            "Accept: text/html;q=x",
            "Accept: text/html;q=0.1234", "Accept: text/html;q=", "Accept: text/plain, text/html", "Accept: application/json",
            "Accept: text/html;q=0.2, */*;q=0.5", "Accept: text/html;q=99999999999999999999", "X-Accept: text/html",
        ] { #expect(try !prefers(line), "\(line)") }
    }
}
