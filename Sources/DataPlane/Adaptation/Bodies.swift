internal import Protocols

/// A body on its way in.
struct BodySource {
    private enum Framing {
        case length(UInt64)
        case chunked(ChunkedReader)
        case untilClose
        case over
    }

    private var framing: Framing

    init(_ body: MessageBody) {
        framing =
            switch body {
            case .none: .over
            case .length(let length): .length(length)
            case .chunked: .chunked(ChunkedReader())
            case .untilClose: .untilClose
            }
    }

    /// Its length is known, and no more than that.
    func isShort(_ most: Int) -> Bool { if case .length(let left) = framing { left <= most } else { false } }

    var isOver: Bool { if case .over = framing { true } else { false } }

    /// Appends some of what has come. Trailers are passed over.
    ///
    /// - Returns: whether there is news.
    mutating func take(from wire: Wire, into bytes: inout [UInt8]) throws(AdaptationFault) -> Bool {
        let isNews = try wire.fill()
        switch framing {
        case .over: return false
        case .length(let left):
            let count = Int(min(left, UInt64(wire.input.count)))
            bytes.append(contentsOf: wire.input.prefix(count))
            wire.consume(count)
            framing = UInt64(count) == left ? .over : .length(left - UInt64(count))
            guard count == 0, wire.hasEnded else { return isNews || count > 0 }
            throw wire.fault("a body that ended early")
        case .untilClose:
            let count = wire.input.count
            bytes.append(contentsOf: wire.input)
            wire.consume(count)
            if wire.hasEnded { framing = .over }
            return isNews || count > 0
        case .chunked(var chunks):
            // All that have come, for what is taken moves the rest.
            var position = 0
            var isWaiting = false
            while !isWaiting, !isOver {
                let (length, step): (Int, ChunkedReader.Step)
                do throws(MessageFault) {
                    (length, step) = try chunks.advance(wire.input.span.extracting(position..<wire.input.count))
                } catch {
                    throw wire.fault(error.reason)
                }
                framing = .chunked(chunks)
                switch step {
                case .data(let place):
                    bytes.append(contentsOf: wire.input[position + place.lowerBound..<position + place.upperBound])
                case .end: framing = .over
                case .needsMore: isWaiting = true
                }
                position += length
            }
            wire.consume(position)
            if position == 0, isWaiting, wire.hasEnded { throw wire.fault("a body that ended early") }
            return isNews || position > 0 || isOver
        }
    }
}

/// A body on its way out.
struct BodySink {
    private var framing: MessageBody

    /// - Parameter framing: never up to the end of the connection: that would look whole when it is not.
    init(_ framing: MessageBody) { self.framing = framing }

    mutating func put(_ bytes: some Collection<UInt8>, to wire: Wire, from side: AdaptationFault.Side) throws(AdaptationFault) {
        guard !bytes.isEmpty else { return }
        switch framing {
        case .chunked:
            wire.output.append(contentsOf: String(bytes.count, radix: 16).utf8)
            wire.output.append(contentsOf: [0x0D, 0x0A])
            wire.output.append(contentsOf: bytes)
            wire.output.append(contentsOf: [0x0D, 0x0A])
        case .length(let left):
            guard UInt64(bytes.count) <= left else {
                throw AdaptationFault(side: side, reason: "a body that is longer than its head says")
            }
            framing = .length(left - UInt64(bytes.count))
            wire.output.append(contentsOf: bytes)
        case .none, .untilClose: throw AdaptationFault(side: side, reason: "a body where there is none")
        }
    }

    func end(_ wire: Wire, from side: AdaptationFault.Side) throws(AdaptationFault) {
        switch framing {
        case .chunked: wire.output.append(contentsOf: "0\r\n\r\n".utf8)
        case .length(let left) where left > 0:
            throw AdaptationFault(side: side, reason: "a body that is shorter than its head says")
        case .length, .none, .untilClose: break
        }
    }
}

/// A body that moves from one wire to another, a piece at a time.
final class BodyPump {
    /// What comes in front of it.
    private var prefix: [UInt8]
    private var source: BodySource
    private let from: Wire
    private var sink: BodySink
    private let to: Wire
    private(set) var isDone = false

    init(_ prefix: [UInt8], _ source: BodySource, from: Wire, to: Wire, as framing: MessageBody) {
        self.prefix = prefix
        self.source = source
        self.from = from
        self.to = to
        sink = BodySink(framing)
    }

    /// - Returns: whether there is news.
    func step() throws(AdaptationFault) -> Bool {
        guard !isDone, to.hasRoom else { return false }
        guard prefix.isEmpty else {
            try sink.put(prefix, to: to, from: from.side)
            prefix = []
            return true
        }
        guard !source.isOver else {
            try sink.end(to, from: from.side)
            isDone = true
            return true
        }
        var bytes: [UInt8] = []
        let isNews = try source.take(from: from, into: &bytes)
        try sink.put(bytes, to: to, from: from.side)
        return isNews
    }

    /// It waits for whoever sends it.
    var isHungry: Bool { !isDone && to.hasRoom && prefix.isEmpty && !source.isOver }

    /// It waits for whoever takes it.
    var isBlocked: Bool { !isDone && !to.hasRoom }

    /// What comes over that wire is part of it.
    func isReading(_ wire: Wire) -> Bool { !isDone && from === wire }
}
