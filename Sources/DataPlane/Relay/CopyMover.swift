internal import CSockets
internal import Glibc
internal import Protocols

extension Direction {
    /// Reads in a row that fill the buffer before a direction is worth a pipe.
    static let fullReadsBeforeSplice: UInt8 = 2

    /// Moves bytes by `recv` into the worker's buffer and `send`.
    ///
    /// A short read means that the socket is drained and spares the read that would say EAGAIN, unless a hang-up came with
    /// the edge (an end that came with the data brings no second edge), or urgent data stopped the read.
    mutating func copy(
        from source: some ByteStream, to sink: some ByteStream, _ resources: Resources, spent: inout Int
    ) -> Moved {
        if rest != nil {
            let flushed = flushRest(to: sink)
            guard flushed == .finished else { return flushed }
        }
        if failure != 0 { return .sourceFailed(failure) }
        while isReadable, !hasEnded, left > 0 {
            guard spent < Resources.budget else { return .budgetUsed }
            let room = Int(min(UInt64(mostRead), left))
            let count = source.receive(resources.buffer, room)
            guard count > 0 else {
                if count == 0 {
                    hasEnded = true
                } else if count == -Int(EAGAIN) {
                    isReadable = false
                } else if count == -Int(EINTR) {
                    return .budgetUsed
                } else {
                    return .sourceFailed(Int32(count))
                }
                continue
            }
            var length = count
            let isShort = source.isDrained(count, of: room)
            if isShort, isHungUp { length += readToEnd(source, resources.buffer, after: count, upTo: room) }
            if isShort { isReadable = (isHungUp || hasUrgent) && !hasEnded }
            spent += length
            left -= UInt64(length)
            if line != nil, makesRequest(resources.buffer, length) || hasEnded && line?.isRequestAtItsEnd == true {
                return .sourceFailed(-EPROTO)
            }
            let sent = send(resources.buffer, length, to: sink)
            guard sent >= 0 else { return .sinkFailed(Int32(sent)) }
            moved += UInt64(sent)
            if sent < length {
                isWritable = false
                keep(UnsafeRawBufferPointer(start: resources.buffer + sent, count: length - sent))
                return .waiting
            }
            if failure != 0 { return .sourceFailed(failure) }
            streak = isShort ? 0 : min(streak + 1, .max - 1)
            if streak >= Self.fullReadsBeforeSplice, resources.mode != .copy, !hasEnded, !hasUrgent, line == nil,
                source.canSpliceFrom, sink.canSpliceTo
            {
                splices = true
                streak = 0
                return splice(from: source, to: sink, resources, spent: &spent)
            }
        }
        // Some servers take the end for that of the line.
        if hasEnded, line?.isRequestAtItsEnd == true { return .sourceFailed(-EPROTO) }
        return hasEnded || left == 0 ? .finished : .waiting
    }

    /// Reads on behind a short read, to learn whether the end comes with it: then data and end leave in one packet.
    private mutating func readToEnd(
        _ source: some ByteStream, _ buffer: UnsafeMutableRawPointer, after count: Int, upTo room: Int
    ) -> Int {
        let more = source.receive(buffer + count, room - count)
        if more == 0 { hasEnded = true }
        // The kernel tells a failure once. It is kept until what was read before it has been handed on.
        if more < 0, more != -Int(EAGAIN), more != -Int(EINTR) { failure = Int32(more) }
        return max(more, 0)
    }

    @inline(__always)
    private func send(_ bytes: UnsafeRawPointer, _ count: Int, to sink: some ByteStream) -> Int {
        // With the end to follow at once, the kernel waits for it: `shutdown` pushes both out together.
        let result = sink.send(bytes, count, more: hasEnded)
        return result == -Int(EAGAIN) || result == -Int(EINTR) ? 0 : result
    }

    mutating func flushRest(to sink: some ByteStream) -> Moved {
        guard isWritable, let rest else { return .waiting }
        let sent = send(rest + Int(restStart), Int(restEnd - restStart), to: sink)
        guard sent >= 0 else { return .sinkFailed(Int32(sent)) }
        moved += UInt64(sent)
        restStart += UInt32(sent)
        guard restStart == restEnd else {
            isWritable = false
            return .waiting
        }
        dropRest()
        return .finished
    }
}
