internal import Policy

/// What a client gets in place of a response: a page of ours.
struct ErrorPage {
    private(set) var status: Int
    /// A sentence.
    let text: String
    private var fields: [(name: String, value: [UInt8])] = []
    /// Else it is plain text.
    var isHTML = false
    /// What is shown, whole; nil: the status and the sentence.
    var body: String?

    init(_ status: Int, _ text: String) {
        self.status = status
        self.text = text
    }

    /// - Parameter value: of one line.
    mutating func add(_ name: String, _ value: some Sequence<UInt8>) { fields.append((name, Array(value))) }

    func with(status: Int) -> ErrorPage {
        var page = self
        page.status = status
        return page
    }

    /// - Parameters:
    ///   - closes: the connection ends behind it.
    ///   - isHead: it answers HEAD, and has no body.
    func bytes(closes: Bool, isHead: Bool = false) -> [UInt8] {
        var head = "HTTP/1.1 \(status) \(reason)\r\nContent-Type: text/\(isHTML ? "html" : "plain"); charset=utf-8\r\n"
        head += "Content-Length: \(content.utf8.count)\r\n"
        head += "Cache-Control: no-store\r\nX-Content-Type-Options: nosniff\r\n"
        var bytes = Array(head.utf8)
        for field in fields { bytes += Array("\(field.name): ".utf8) + field.value + [0x0D, 0x0A] }
        bytes += Array(((closes ? "Connection: close\r\n" : "") + "\r\n" + (isHead ? "" : content)).utf8)
        return bytes
    }

    /// Of what ``bytes(closes:isHead:)`` gives.
    func bodyLength(isHead: Bool) -> Int { isHead ? 0 : content.utf8.count }

    private var content: String { body ?? (isHTML ? html : "\(status) \(reason)\n\(text)\n") }

    private var html: String {
        let title = "\(status) \(reason)"
        return """
            <!DOCTYPE html>
            <html lang="en"><head><meta charset="utf-8"><title>\(title)</title></head>
            <body><h1>\(title)</h1><p>\(Template.Escaping.html.escaped(text, keepsBlanks: true))</p></body></html>

            """
    }

    private var reason: String {
        switch status {
        case 200: "OK"
        case 301: "Moved Permanently"
        case 302: "Found"
        case 303: "See Other"
        case 307: "Temporary Redirect"
        case 308: "Permanent Redirect"
        case 400: "Bad Request"
        case 401: "Unauthorized"
        case 403: "Forbidden"
        case 404: "Not Found"
        case 405: "Method Not Allowed"
        case 407: "Proxy Authentication Required"
        case 408: "Request Timeout"
        case 410: "Gone"
        case 414: "URI Too Long"
        case 417: "Expectation Failed"
        case 429: "Too Many Requests"
        case 431: "Request Header Fields Too Large"
        case 451: "Unavailable For Legal Reasons"
        case 501: "Not Implemented"
        case 502: "Bad Gateway"
        case 503: "Service Unavailable"
        case 504: "Gateway Timeout"
        case 505: "HTTP Version Not Supported"
        case 508: "Loop Detected"
        default: "Error"
        }
    }
}
