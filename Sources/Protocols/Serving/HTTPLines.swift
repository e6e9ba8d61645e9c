/// What is wrong with a request, and what its client is told.
struct HTTPFault: Error {
    /// Nil: nothing, for it speaks no HTTP.
    let answer: HTTPAnswer?
    let fault: ServingFault

    /// - Parameter why: what it is that stands there, for the page as for the log.
    init(badRequest why: StaticString) {
        answer = .badRequest(why)
        fault = .invalid("\(why)")
    }

    /// - Parameter fault: what the log says; nil: the answer's status.
    init(_ answer: HTTPAnswer, _ fault: ServingFault? = nil) {
        self.answer = answer
        self.fault = fault ?? .invalid(answer.status)
    }

    /// Nothing is said to the client.
    init(silently fault: ServingFault) {
        answer = nil
        self.fault = fault
    }
}

/// Takes lines from the front of a request's head (RFC 9112 §2.2), byte by byte and strictly: each ends in CR LF, neither of which
/// stands anywhere else, and of the other control characters it has tabs alone.
struct HTTPLines: Sendable {
    /// Bytes of lines that were taken.
    private(set) var taken = 0
    /// Bytes of the line that comes next that have been looked at, so that none is looked at twice.
    private var seen = 0

    /// The next line, as the place of its bytes, without the CR LF that follows; nil: it is not whole yet.
    ///
    /// - Parameter longest: bytes of the line, beyond which it is a fault, as it is beyond ``ConnectServer/longestHead``.
    mutating func next(_ bytes: Span<UInt8>, longest: Int, tooLong: HTTPAnswer) throws(HTTPFault) -> Range<Int>? {
        while seen < bytes.count {
            guard seen <= longest else { throw HTTPFault(tooLong) }
            guard taken + seen + 2 <= ConnectServer.longestHead else { throw HTTPFault(.fieldsTooLarge) }
            switch bytes[seen] {
            case 0x0D:
                guard seen + 1 < bytes.count else { return nil }
                guard bytes[seen + 1] == 0x0A else { throw HTTPFault(badRequest: "a carriage return without a line feed") }
                defer {
                    taken += seen + 2
                    seen = 0
                }
                return 0..<seen
            case 0x0A: throw HTTPFault(badRequest: "a line feed without a carriage return")
            case 0x09, 0x20...0x7E, 0x80...0xFF: seen += 1
            default: throw HTTPFault(badRequest: "a control character")
            }
        }
        return nil
    }
}

/// RFC 9110 §5.6.2.
func isToken(_ bytes: ArraySlice<UInt8>) -> Bool { !bytes.isEmpty && bytes.allSatisfy(isTokenOctet) }

func lowercased(_ bytes: ArraySlice<UInt8>) -> [UInt8] { bytes.map(foldedOctet) }
