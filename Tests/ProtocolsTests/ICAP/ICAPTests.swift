import Protocols
import Testing

/// ICAP's heads, as services write them and as ours are.
@Suite struct ICAPTests {
    private func read<Value>(_ text: String, _ make: (HeadReader, Span<UInt8>) throws -> Value) throws -> Value {
        let bytes = Array(text.utf8)
        var head = HeadReader(.service)
        #expect(try head.read(bytes.span))
        return try make(head, bytes.span)
    }

    private func response(_ fields: String, status: String = "200 OK") throws -> ICAPResponse {
        try read("ICAP/1.0 \(status)\r\n\(fields)\r\n") { try ICAPResponse($0, $1) }
    }

    private static let parts: [(value: String, request: Int?, response: Int?, body: Encapsulated.Body)?] = [
        ("null-body=0", nil, nil, .none), ("res-hdr=0, res-body=137", nil, 137, .response),
        ("REQ-HDR=0,\tNull-Body=12", 12, nil, .none), ("req-hdr=0, res-hdr=10, res-body=30", 10, 20, .response),
        ("req-body=0", nil, nil, .request), ("opt-body=0", nil, nil, .options),
    ]

    @Test(arguments: parts.indices) func whatIsEncapsulated(row: Int) throws {
        let row = try #require(Self.parts[row])
        let found = try #require(try response("Encapsulated: \(row.value)\r\n").encapsulated)
        #expect(found.requestHead == row.request && found.responseHead == row.response && found.body == row.body)
    }

    private static let wrongParts = [
        "", "res-hdr=0", "res-hdr=1, res-body=9", "res-hdr=0, res-body=0", "res-hdr=0, res-body=65537", "res-hdr=9, res-body=0",
        "res-hdr=0 res-body=9", "res-hdr=0,, res-body=9", "res-hdr=0, res-body=-9", "res-hdr=0, res-body=+9",
        "res-hdr=0, res-body=0x9",
        "res-hdr=0, res-body=", "res-hdr=0, body=9", "res-hdr=0, req-hdr=4, req-body=9", "req-hdr=0, req-hdr=4, req-body=9",
        "res-body=0, res-hdr=9", "req-hdr=0, res-hdr=4, res-hdr=8, res-body=12", "null-body=9", "null-body=99999999999999999999",
        "null-body=0\r\nEncapsulated: null-body=0",
    ]

    @Test(arguments: wrongParts) func whatMakesNoSense(value: String) {
        #expect(throws: MessageFault.self) { try response("Encapsulated: \(value)\r\n") }
    }

    @Test(arguments: [
        "HTTP/1.1 200 OK", "ICAP/1.1 200 OK", "ICAP/1.0 2000 OK", "ICAP/1.0 20 OK", "ICAP/1.0  200", "ICAP/1.0 600 x",
    ])
    func otherStatusLines(line: String) {
        #expect(throws: MessageFault.self) { try read("\(line)\r\n\r\n") { try ICAPResponse($0, $1) } }
    }

    @Test func responses() throws {
        let found = try response(
            "X-Infection-Found: Type=0; Resolution=2; Threat=Eicar Test;\r\nISTag: \"a\"\r\nConnection: Close\r\n")
        #expect(found.status == 200 && found.threat == "Eicar Test" && !found.keepsAlive && found.tag == Array("\"a\"".utf8))
        #expect(found.encapsulated == nil)
        // As c-icap folds it.
        let folded = try response("X-Virus-ID: a\r\nX-Violations-Found: 1\r\n\t-\r\n\t0\r\nEncapsulated: null-body=0\r\n")
        #expect(folded.threat == "a" && folded.encapsulated?.body == Encapsulated.Body.none)
        #expect(throws: MessageFault.self) { try response("Encapsulated: res-hdr=0,\r\n res-body=9\r\n") }
        #expect(throws: HeadReader.Fault.self) { try response(" X: 1\r\n") }
        #expect(try response("X-Virus-ID: Evil\r\n").threat == "Evil")
        #expect(try response("X-Infection-Found: odd\r\n").threat == "odd")
        #expect(try response("X-Virus-ID: \(String(repeating: "x", count: 500))\r\n").threat?.count == 128)
        let plain = try response("", status: "204")
        #expect(plain.status == 204 && plain.keepsAlive && plain.threat == nil)
    }

    private func options(_ fields: String) throws -> ICAPOptions {
        try read("ICAP/1.0 200 OK\r\n\(fields)\r\n") { try ICAPOptions($0, $1) }
    }

    @Test func options() throws {
        let options = try options(
            """
            Methods: RESPMOD, REQMOD\r\nPreview: 1024\r\nAllow: 204, 206\r\nMax-Connections: 20\r\nOptions-TTL: 60\r
            Transfer-Complete: *\r\nTransfer-Ignore: jpg, GIF\r\nTransfer-Preview: html\r\n
            """)
        #expect(options.modifiesRequests && options.modifiesResponses && options.preview == 1_024 && options.allows204)
        #expect(options.mostConnections == 20 && options.lifetime == 60)
        let transfers: [(String, ICAPOptions.Transfer)] = [
            ("/a.jpg", .ignore), ("/a.gif?x=.exe", .ignore), ("/a.JPG", .ignore), ("/x.html", .preview), ("/", .complete),
            ("/a.jpg/b", .complete), ("/a?b.jpg", .complete), ("/.", .complete), ("", .complete), ("/a.b.jpg", .ignore),
        ]
        for (path, transfer) in transfers { #expect(options.transfer(ofPath: path) == transfer, "\(path)") }
        let least = try self.options("Methods: RESPMOD\r\n")
        #expect(!least.modifiesRequests && least.preview == nil && !least.allows204 && least.transfer(ofPath: "/x") == .preview)
        #expect(try self.options("Preview: 99999999\r\n").preview == ICAPOptions.longestPreview)
        for field in ["Preview: x", "Max-Connections: 0", "Options-TTL: -1", "Preview: 99999999999999999999"] {
            #expect(throws: MessageFault.self) { try self.options(field + "\r\n") }
        }
    }

    @Test func requests() {
        let service = ICAPRequest(url: "icap://127.0.0.1:1344/scan", authority: "127.0.0.1:1344")
        #expect(
            String(decoding: service.options(), as: UTF8.self)
                == "OPTIONS icap://127.0.0.1:1344/scan ICAP/1.0\r\nHost: 127.0.0.1:1344\r\nEncapsulated: null-body=0\r\n\r\n")
        let request = Array("GET / HTTP/1.1\r\n\r\n".utf8)
        let response = Array("HTTP/1.1 200 OK\r\n\r\n".utf8)
        func head(_ kind: ICAPRequest.Kind, _ response: [UInt8], hasBody: Bool, preview: Int?, allows204: Bool) -> String {
            String(
                decoding: service.modification(
                    of: kind, requestHead: request, responseHead: response, hasBody: hasBody, client: "192.0.2.1", preview: preview,
                    allows204: allows204), as: UTF8.self)
        }
        let start = "icap://127.0.0.1:1344/scan ICAP/1.0\r\nHost: 127.0.0.1:1344\r\nX-Client-IP: 192.0.2.1\r\n"
        #expect(
            head(.response, response, hasBody: true, preview: 0, allows204: true)
                == "RESPMOD \(start)Allow: 204\r\nPreview: 0\r\nEncapsulated: req-hdr=0, res-hdr=18, res-body=37\r\n\r\n"
                + "GET / HTTP/1.1\r\n\r\nHTTP/1.1 200 OK\r\n\r\n")
        #expect(
            head(.request, [], hasBody: false, preview: nil, allows204: false)
                == "REQMOD \(start)Encapsulated: req-hdr=0, null-body=18\r\n\r\nGET / HTTP/1.1\r\n\r\n")
        #expect(head(.request, [], hasBody: true, preview: nil, allows204: false).contains("req-body=18"))
        #expect(head(.response, response, hasBody: false, preview: nil, allows204: false).contains("null-body=37"))
    }
}
