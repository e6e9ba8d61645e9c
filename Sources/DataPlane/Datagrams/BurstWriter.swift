internal import CSockets
internal import Glibc
internal import TransparentSockets

/// Gathers datagrams that go the same way, and sends as many as can be with one call: equal ones, the last of which may be shorter.
struct BurstWriter: ~Copyable {
    /// Datagrams of one call: what every kernel with UDP_SEGMENT takes.
    static let mostDatagrams = 64
    /// Bytes of one call. What an IP packet may hold, less any header.
    static let mostBytes = 65_000

    typealias Send = (_ parts: UnsafeMutablePointer<iovec>, _ count: Int, _ segment: Int) -> Int

    /// What became of datagrams.
    struct Outcome {
        var datagrams: UInt64 = 0
        /// Of data, without headers.
        var bytes: UInt64 = 0
        /// Datagrams that were not sent, and the last reason, as a positive errno.
        var dropped: UInt64 = 0
        var error: Int32 = 0
    }

    /// False: each datagram by itself.
    let usesSegments: Bool
    private let parts: UnsafeMutablePointer<iovec>
    private var count = 0
    private var datagrams = 0
    private var bytes = 0
    /// Bytes of each datagram so far, header included.
    private var unit = 0
    private var headerLength = 0
    /// The last one is shorter: no other can follow.
    private var isClosed = false

    init(usesSegments: Bool) {
        self.usesSegments = usesSegments
        parts = .allocate(capacity: 2 * Self.mostDatagrams)
    }

    deinit { parts.deallocate() }

    /// Adds one datagram, or a burst.
    ///
    /// - Parameters:
    ///   - bytes: must stay there until ``flush(_:_:)``, as `header` must.
    ///   - segment: bytes of each datagram in a burst; 0: it is one.
    ///   - header: goes before each datagram; the same for all until a flush.
    mutating func add(
        _ data: UnsafeMutableRawBufferPointer, segment: Int, header: UnsafeRawBufferPointer, _ send: Send, _ outcome: inout Outcome
    ) {
        var rest = data[...]
        repeat {
            let length = segment == 0 ? rest.count : min(segment, rest.count)
            addOne(UnsafeMutableRawBufferPointer(rebasing: rest.prefix(length)), header, send, &outcome)
            rest = rest.dropFirst(length)
        } while !rest.isEmpty
    }

    private mutating func addOne(
        _ data: UnsafeMutableRawBufferPointer, _ header: UnsafeRawBufferPointer, _ send: Send, _ outcome: inout Outcome
    ) {
        let length = header.count + data.count
        if datagrams > 0,
            isClosed || length == 0 || length > unit || datagrams == Self.mostDatagrams || bytes + length > Self.mostBytes
                || !usesSegments
        {
            flush(send, &outcome)
        }
        if datagrams == 0 {
            unit = length
            headerLength = header.count
        }
        if !header.isEmpty { append(UnsafeMutableRawBufferPointer(mutating: header)) }
        append(data)
        datagrams += 1
        bytes += length
        // Nothing is no piece of anything: before and after it, a burst ends.
        isClosed = length < unit || length == 0
    }

    /// What lies behind the last part in memory needs no part of its own: a burst is one.
    private mutating func append(_ data: UnsafeMutableRawBufferPointer) {
        if headerLength == 0, count > 0, let base = parts[count - 1].iov_base, base + parts[count - 1].iov_len == data.baseAddress {
            parts[count - 1].iov_len += data.count
        } else {
            parts[count] = iovec(iov_base: data.baseAddress, iov_len: data.count)
            count += 1
        }
    }

    /// Sends what was gathered.
    mutating func flush(_ send: Send, _ outcome: inout Outcome) {
        guard datagrams > 0 else { return }
        let result = send(parts, count, datagrams > 1 ? unit : 0)
        if result >= 0 {
            note(datagrams, bytes, &outcome)
        } else if datagrams > 1, Self.isNoBurst(Int32(-result)) {
            sendOneByOne(send, &outcome)
        } else {
            outcome.dropped += UInt64(datagrams)
            outcome.error = Int32(-result)
        }
        (count, datagrams, bytes, isClosed) = (0, 0, 0, false)
    }

    private func note(_ datagrams: Int, _ bytes: Int, _ outcome: inout Outcome) {
        outcome.datagrams += UInt64(datagrams)
        outcome.bytes += UInt64(bytes - datagrams * headerLength)
    }

    /// The way does not take bursts (a segment larger than its MTU, a device without checksums, a raw socket), or an earlier
    /// datagram's error was told by this call. The same datagrams by themselves may well go.
    private static func isNoBurst(_ error: Int32) -> Bool {
        switch error {
        case EINVAL, EMSGSIZE, EIO, EOPNOTSUPP: true
        default: false
        }
    }

    private func sendOneByOne(_ send: Send, _ outcome: inout Outcome) {
        var piece: [2 of iovec] = [iovec(), iovec()]
        var index = 0
        while index < count {
            if headerLength > 0 {
                piece[0] = parts[index]
                piece[1] = parts[index + 1]
                index += 2
                sendOne(&piece, 2, send, &outcome)
            } else {
                var rest = parts[index]
                index += 1
                repeat {
                    piece[0] = iovec(iov_base: rest.iov_base, iov_len: min(rest.iov_len, unit))
                    rest = iovec(iov_base: rest.iov_base + piece[0].iov_len, iov_len: rest.iov_len - piece[0].iov_len)
                    sendOne(&piece, 1, send, &outcome)
                } while rest.iov_len > 0
            }
        }
    }

    private func sendOne(_ piece: inout [2 of iovec], _ count: Int, _ send: Send, _ outcome: inout Outcome) {
        let length = count == 2 ? piece[0].iov_len + piece[1].iov_len : piece[0].iov_len
        let result = withUnsafeMutablePointer(to: &piece) {
            $0.withMemoryRebound(to: iovec.self, capacity: 2) { send($0, count, 0) }
        }
        if result >= 0 {
            note(1, length, &outcome)
        } else {
            outcome.dropped += 1
            outcome.error = Int32(-result)
        }
    }
}
