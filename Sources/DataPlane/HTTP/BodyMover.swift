internal import CSockets
internal import Glibc
internal import Protocols

// Bodies in chunks, which are taken apart and put together anew.

extension HTTPRelay {
    /// Takes chunks apart as far as they have come, and writes them behind what is in the worker's output.
    ///
    /// - Returns: bytes that are done with.
    func decode(
        _ chunks: inout ChunkedReader, _ bytes: Span<UInt8>, _ writing: BodyProgress.ChunkedWriting, _ progress: inout BodyProgress
    ) throws(MessageFault) -> Int {
        var position = 0
        while true {
            let rest = bytes.extracting(position..<bytes.count)
            let (length, step) = try chunks.advance(rest)
            position += length
            switch step {
            case .needsMore:
                progress = .chunks(chunks, writing)
                return position
            case .data(let place):
                if writing == .chunks { resources.output.append(hexadecimal: place.count) }
                rest.extracting(place).withUnsafeBufferPointer { resources.output.append(contentsOf: $0) }
                if writing == .chunks { resources.output.append(contentsOf: [0x0D, 0x0A]) }
            case .end(let trailers):
                if writing == .chunks {
                    resources.output.append(contentsOf: [UInt8(ascii: "0"), 0x0D, 0x0A])
                    resources.output.append(contentsOf: trailers)
                    resources.output.append(contentsOf: [0x0D, 0x0A])
                }
                progress = .done
                return position
            }
        }
    }

    /// Moves a body in chunks as far as it has come.
    ///
    /// - Parameter stash: what was read before; then what is behind the body.
    func moveChunks(
        from source: some ByteStream, to sink: some ByteStream, _ direction: inout Direction, _ stash: inout [UInt8],
        _ path: WritableKeyPath<Transaction, BodyProgress>
    ) -> Moved {
        let buffer = resources.buffer.assumingMemoryBound(to: UInt8.self)
        var spent = 0
        while true {
            if direction.rest != nil {
                guard direction.isWritable else { return .waiting }
                direction.left = 0
                let flushed = direction.move(from: source, to: sink, resources)
                guard flushed == .finished else { return flushed }
            }
            guard case .chunks(var chunks, let writing) = transaction![keyPath: path] else { return .finished }
            guard spent < Resources.budget else { return .budgetUsed }
            guard direction.isReadable else { return .waiting }
            var count = stash.count
            stash.withUnsafeBufferPointer { if let base = $0.baseAddress { buffer.update(from: base, count: count) } }
            let room = min(Resources.bufferSize - count, direction.mostRead)
            let received = source.receive(buffer + count, room)
            guard received > 0 else {
                if received == -Int(EAGAIN) {
                    direction.isReadable = false
                } else if received == 0 {
                    direction.hasEnded = true
                    return .sourceFailed(-EPROTO)
                } else if received != -Int(EINTR) {
                    return .sourceFailed(Int32(received))
                }
                continue
            }
            if source.isDrained(received, of: room) { direction.isReadable = direction.isHungUp }
            count += received
            spent += received
            resources.output.removeAll(keepingCapacity: true)
            let bytes = Span(_unsafeStart: buffer, count: count)
            do throws(MessageFault) {
                let taken = try decode(&chunks, bytes, writing, &transaction![keyPath: path])
                stash = Array(bytes.extracting(taken..<count))
            } catch {
                bodyFault = error
                return .sourceFailed(-EPROTO)
            }
            let error = direction.send(resources.output[...], to: sink)
            guard error == 0 else { return .sinkFailed(error) }
        }
    }
}

extension [UInt8] {
    /// A chunk's size, and the line end behind it.
    fileprivate mutating func append(hexadecimal number: Int) {
        var shift = 60
        while shift > 0, number >> shift == 0 { shift -= 4 }
        while shift >= 0 {
            let digit = UInt8(truncatingIfNeeded: number >> shift & 15)
            append(digit < 10 ? digit + 0x30 : digit + 0x57)
            shift -= 4
        }
        append(contentsOf: [0x0D, 0x0A])
    }
}
