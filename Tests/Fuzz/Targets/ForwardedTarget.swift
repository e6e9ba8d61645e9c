internal import Protocols

/// A value of Forwarded that is passed on is closed: what follows it behind a comma is read as what it is.
func checkForwarded(_ bytes: [UInt8]) -> String? {
    func isForwarded(_ bytes: [UInt8]) -> Bool { Protocols.isForwarded(0..<bytes.count, bytes.span) }
    guard isForwarded(bytes) else { return nil }
    guard isForwarded(bytes + Array(", for=192.0.2.1;proto=http".utf8)) else { return "nothing can follow it" }
    // Within a quoted text either would be good.
    guard !isForwarded(bytes + Array(", for=192.0.2.256".utf8)), !isForwarded(bytes + Array(", =".utf8)) else {
        return "what follows it is a part of it"
    }
    return nil
}
