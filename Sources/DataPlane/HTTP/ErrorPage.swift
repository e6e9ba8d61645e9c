/// What a client gets in place of a response: a page of ours.
struct ErrorPage {
    let status: Int
    /// A sentence.
    let text: String
    var fields: [(name: String, value: String)] = []

    init(_ status: Int, _ text: String) {
        self.status = status
        self.text = text
    }

    /// - Parameters:
    ///   - closes: the connection ends behind it.
    ///   - isHead: it answers HEAD, and has no body.
    func bytes(closes: Bool, isHead: Bool = false) -> [UInt8] {
        let body = "\(status) \(reason)\n\(text)\n"
        var head =
            "HTTP/1.1 \(status) \(reason)\r\nContent-Type: text/plain; charset=utf-8\r\nContent-Length: \(body.utf8.count)\r\n"
        head += "Cache-Control: no-store\r\nX-Content-Type-Options: nosniff\r\n"
        for field in fields { head += "\(field.name): \(field.value)\r\n" }
        if closes { head += "Connection: close\r\n" }
        return Array((head + "\r\n" + (isHead ? "" : body)).utf8)
    }

    private var reason: String {
        switch status {
        case 400: "Bad Request"
        case 401: "Unauthorized"
        case 403: "Forbidden"
        case 407: "Proxy Authentication Required"
        case 408: "Request Timeout"
        case 414: "URI Too Long"
        case 417: "Expectation Failed"
        case 431: "Request Header Fields Too Large"
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
