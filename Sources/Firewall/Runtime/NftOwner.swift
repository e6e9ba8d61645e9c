internal import CSockets
internal import Glibc
internal import TransparentSockets

/// The `nft -i` that owns our table: when its standard input closes, by our wish or by our death, it ends and the kernel
/// deletes the table.
final class NftOwner {
    private let table: String
    let pid: pid_t
    private var input: Int32
    private let output: Descriptor
    private let errors: Descriptor
    private let text: Descriptor
    /// Readable once nft has ended.
    let ended: Descriptor

    init(_ nft: Tool, table: String) throws(FirewallError) {
        self.table = table
        text = try memoryFile("")
        let inputPipe = try Pipe()
        let outputPipe = try Pipe()
        let errorsPipe = try Pipe()
        pid = try nft.spawn(
            ["-i"], descriptors: [inputPipe.reader.raw, outputPipe.writer.raw, errorsPipe.writer.raw, text.raw])
        input = inputPipe.keepWriter().release()
        output = outputPipe.keepReader()
        errors = errorsPipe.keepReader()
        _ = cs_set_nonblocking(output.raw)
        _ = cs_set_nonblocking(errors.raw)
        let descriptor = cs_pidfd_open(pid)
        guard descriptor >= 0 else {
            close(input)
            kill(pid, SIGKILL)
            reap(pid)
            throw .system("nft cannot be watched", errno: -descriptor)
        }
        ended = Descriptor(owning: descriptor)
    }

    deinit { end() }

    /// Gives nft one transaction and waits until the kernel has taken or refused it. A refused one changes nothing.
    func send(_ transaction: String) throws(FirewallError) {
        try rewrite(text, transaction)
        _ = drained(output.raw)
        _ = drained(errors.raw)
        // A file, because a table on standard input would be taken line by line; the list tells that the file is done with.
        let line = Array("include \"/proc/self/fd/3\"\nlist tables inet\n".utf8)
        let sent = cs_write(input, line, line.count)
        guard sent == line.count else { throw .system("nft does not listen", errno: Int32(-sent)) }
        let deadline = cs_monotonic_nanoseconds() + Tool.patience
        var answer = ""
        var complaint = ""
        while true {
            var streams = [output.raw, errors.raw, ended.raw].map { pollfd(fd: $0, events: Int16(POLLIN), revents: 0) }
            // After a complaint only its other lines are still awaited.
            let left = Int32(truncatingIfNeeded: (Int64(deadline) - Int64(cs_monotonic_nanoseconds())) / 1_000_000)
            let ready = poll(&streams, 3, complaint.isEmpty ? max(left, 0) : 50)
            answer += drained(output.raw)
            complaint += drained(errors.raw)
            if !complaint.isEmpty, ready == 0 || streams[2].revents != 0 { throw refused(complaint) }
            if complaint.isEmpty, answer.split(separator: "\n").contains("table inet \(table)") { return }
            if streams[2].revents != 0 { throw FirewallError(.system, "nft ended before it took the rules") }
            if ready == 0 {
                throw FirewallError(.system, "nft did not take the rules within \(Tool.patience / 1_000_000_000) seconds")
            }
        }
    }

    /// Ends nft, and with it the table. When this returns the table is gone.
    func end() {
        guard input >= 0 else { return }
        close(input)
        input = -1
        var stream = pollfd(fd: ended.raw, events: Int16(POLLIN), revents: 0)
        if poll(&stream, 1, 2000) != 1 { kill(pid, SIGKILL) }
        reap(pid)
    }

    private func drained(_ descriptor: Int32) -> String {
        var bytes: [UInt8] = []
        while bytes.count < 262_144, let more = readSome(descriptor) { bytes += more }
        return String(decoding: bytes, as: UTF8.self)
    }
}

/// nft's own words as an error.
func refused(_ complaint: String) -> FirewallError {
    if complaint.contains("Operation not permitted") { return .noCapability }
    return FirewallError(.system, "nft refuses the rules: " + complaint.split(separator: "\n").prefix(6).joined(separator: "\n"))
}
