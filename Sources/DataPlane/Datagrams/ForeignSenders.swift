internal import CSockets
internal import Glibc
internal import SystemPackage
internal import TransparentSockets

/// The sockets that answers to intercepted clients leave by: one for each port that clients send to, and family.
struct ForeignSenders {
    private final class Entry {
        let sender: ForeignSender
        var usedAt: UInt64
        init(_ sender: consuming ForeignSender, usedAt: UInt64) {
            self.sender = sender
            self.usedAt = usedAt
        }
    }

    private struct Key: Hashable {
        var port: UInt16
        var isIPv6: Bool
    }

    private var entries: [Key: Entry] = [:]
    /// The one that was used last: mostly the next one, too.
    private var last: (key: Key, entry: Entry)?
    private var clock: UInt64 = 0
    /// Why the last one could not be made.
    var failure: SocketError?

    /// - Returns: bytes sent, or a negated errno.
    mutating func send(
        _ parts: UnsafeMutablePointer<iovec>, _ count: Int, segment: Int, from source: SocketAddress, to client: SocketAddress,
        mark: UInt32
    ) -> Int {
        let key = Key(port: source.port, isIPv6: source.address.isIPv6)
        clock += 1
        let entry: Entry
        if let last, last.key == key {
            entry = last.entry
        } else if let known = entries[key] {
            entry = known
        } else {
            do throws(SocketError) {
                entry = Entry(try ForeignSender(port: key.port, isIPv6: key.isIPv6, mark: mark), usedAt: clock)
            } catch {
                failure = error
                return -Int(error.errno.rawValue)
            }
            if entries.count >= Settings.mostSenders, let oldest = entries.min(by: { $0.value.usedAt < $1.value.usedAt }) {
                entries[oldest.key] = nil
            }
            entries[key] = entry
        }
        last = (key, entry)
        entry.usedAt = clock
        return entry.sender.sendParts(parts, count, segment: segment, from: source, to: client)
    }

    // MARK: What does not arrive

    private enum Unreachable {
        case unknown
        case sender(UnreachableEntry)
        /// Without CAP_NET_RAW clients are not told.
        case cannotBe
    }

    private final class UnreachableEntry {
        let sender: UnreachableSender
        init(_ sender: consuming UnreachableSender) { self.sender = sender }
    }

    private var unreachable = [Unreachable.unknown, .unknown]

    /// Tells a client that its datagram does not arrive, if that can be.
    mutating func tell(
        _ client: SocketAddress, _ reason: UnreachableSender.Reason, of length: Int, to destination: SocketAddress, mark: UInt32
    ) {
        let family = destination.address.isIPv6 ? 1 : 0
        if case .unknown = unreachable[family] {
            if let sender = try? UnreachableSender(isIPv6: family == 1, mark: mark) {
                unreachable[family] = .sender(UnreachableEntry(sender))
            } else {
                unreachable[family] = .cannotBe
            }
        }
        guard case .sender(let entry) = unreachable[family] else { return }
        try? entry.sender.send(reason, of: length, from: client, to: destination)
    }
}
