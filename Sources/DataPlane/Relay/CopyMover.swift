internal import CSockets
internal import Glibc

extension Direction {
    /// Reads in a row that fill the buffer before a direction is worth a pipe.
    static let fullReadsBeforeSplice: UInt8 = 2

    /// Moves bytes by `recv` into the worker's buffer and `send`.
    ///
    /// A short read means that the socket is drained and spares the read that would say EAGAIN, unless a hang-up came with
    /// the edge (an end that came with the data brings no second edge), or urgent data stopped the read.
    mutating func copy(from source: Int32, to sink: Int32, _ resources: Resources, spent: inout Int) -> Moved {
        if rest != nil {
            let flushed = flushRest(to: sink)
            guard flushed == .finished else { return flushed }
        }
        if failure != 0 { return .sourceFailed(failure) }
        while isReadable, !hasEnded {
            guard spent < Resources.budget else { return .budgetUsed }
            let count = cs_receive(source, resources.buffer, Resources.bufferSize)
            guard count > 0 else {
                if count == 0 {
                    hasEnded = true
                } else if count == -Int(EAGAIN) {
                    isReadable = false
                } else if count != -Int(EINTR) {
                    return .sourceFailed(Int32(count))
                }
                continue
            }
            var length = count
            let isShort = count < Resources.bufferSize
            if isShort, isHungUp { length += readToEnd(source, resources.buffer, after: count) }
            if isShort { isReadable = (isHungUp || hasUrgent) && !hasEnded }
            spent += length
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
            if streak >= Self.fullReadsBeforeSplice, resources.mode == .adaptive, !hasEnded, !hasUrgent {
                splices = true
                streak = 0
                return splice(from: source, to: sink, resources, spent: &spent)
            }
        }
        return hasEnded ? .finished : .waiting
    }

    /// Reads on behind a short read, to learn whether the end comes with it: then data and end leave in one packet.
    private mutating func readToEnd(_ source: Int32, _ buffer: UnsafeMutableRawPointer, after count: Int) -> Int {
        let more = cs_receive(source, buffer + count, Resources.bufferSize - count)
        if more == 0 { hasEnded = true }
        // The kernel tells a failure once. It is kept until what was read before it has been handed on.
        if more < 0, more != -Int(EAGAIN), more != -Int(EINTR) { failure = Int32(more) }
        return max(more, 0)
    }

    @inline(__always)
    private func send(_ bytes: UnsafeRawPointer, _ count: Int, to sink: Int32) -> Int {
        // With the end to follow at once, the kernel waits for it: `shutdown` pushes both out together.
        let result = cs_send(sink, bytes, count, hasEnded ? cs_more : 0)
        return result == -Int(EAGAIN) || result == -Int(EINTR) ? 0 : result
    }

    private mutating func flushRest(to sink: Int32) -> Moved {
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
