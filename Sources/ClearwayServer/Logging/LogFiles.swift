internal import Configuration

extension Configuration.Log {
    /// The format has no place for anything but requests: the file is theirs, and all else goes to standard error.
    private var hasRequestsApart: Bool { format == .combined }

    /// Whether both are written to the same files.
    func hasFiles(of other: Self) -> Bool { file == other.file && hasRequestsApart == other.hasRequestsApart }

    fileprivate var recordsFile: String? { hasRequestsApart ? nil : file }
    fileprivate var requestsFile: String? { hasRequestsApart ? file : nil }
}

/// What the admin thread writes to: the one file of all records, or one of requests and standard error.
struct LogFiles: ~Copyable {
    private var records: LogFile
    private var requests: LogFile

    init(_ log: Configuration.Log) throws(Failure) {
        let records = try LogFile(path: log.recordsFile)
        let requests = try LogFile(path: log.requestsFile)
        self.records = records
        self.requests = requests
    }

    var hasPending: Bool { records.hasPending || requests.hasPending }

    /// Of the file that ``writeSome()`` writes to. Requests come first: what reads standard error may be slow, a file is not.
    var descriptor: Int32 { requests.hasPending ? requests.descriptor : records.descriptor }

    mutating func add(_ waiting: LogSink.Waiting) {
        if !waiting.records.isEmpty { records.add(waiting.records) }
        if !waiting.requests.isEmpty { requests.add(waiting.requests) }
    }

    mutating func writeSome() {
        if requests.hasPending { requests.writeSome() } else { records.writeSome() }
    }

    mutating func reopen() throws(Failure) {
        try records.reopen()
        try requests.reopen()
    }

    mutating func flush(within milliseconds: Int32) {
        requests.flush(within: milliseconds)
        records.flush(within: milliseconds)
    }
}
