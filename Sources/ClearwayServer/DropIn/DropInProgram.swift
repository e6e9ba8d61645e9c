internal import CSockets
internal import Configuration
internal import Glibc
internal import Logging
internal import SystemPackage
internal import TransparentSockets

/// A program that Clearway stands in for: its command line, its configuration file, its log, its exit status. transocks and usocksd
/// were made of the same parts (cybozu-go/well and log), which are here.
protocol DropInProgram: ServerProgram {
    /// What it is called, in its usage and its log.
    static var name: String { get }
    /// What is read without `-f`; empty: whatever the program does then.
    static var defaultFile: String { get }
    var arguments: DropInArguments { get }
    init(_ arguments: DropInArguments)
    /// Reads the file, and what the flags say beside it.
    func read() throws(DropInError) -> Configuration
    /// Fields of the record of a signal, beside the signal's name.
    var signalFields: Logger.Metadata { get }
}

extension DropInProgram {
    var signalFields: Logger.Metadata { [:] }

    /// - Parameter words: the command line without the program's name.
    /// - Returns: the exit status: 0, 1 for whatever went wrong, 2 for a wrong command line.
    static func main(_ words: [String]) -> Int32 {
        let usage = DropInArguments.usage(of: name, file: defaultFile)
        switch DropInArguments.parse(words, file: defaultFile) {
        case .usage(let complaint):
            printToStandardError(complaint + "\n" + usage)
            return 2
        case .help:
            printToStandardError(usage)
            return 0
        case .version:
            print("clearway \(version)")
            return 0
        case .check(let arguments):
            let program = Self(arguments)
            return program.reporting(to: nil) { () throws(Failure) in
                _ = try program.configuration()
                print("\(arguments.file.isEmpty ? "configuration" : arguments.file): good")
            }
        case .run(let arguments):
            let program = Self(arguments)
            return program.reporting(to: nil) { () throws(Failure) in try program.run() }
        }
    }

    /// Before the configuration is read, what goes wrong is said in the format `plain` on standard error; after that, in the log.
    private func run() throws(Failure) {
        let configuration = try configuration()
        let status = reporting(to: configuration.log) { () throws(Failure) in
            do throws(DropInError) {
                try checkFree(configuration.listeners.flatMap(\.listen) + configuration.metrics)
            } catch {
                throw Failure(.systemError, error.description)
            }
            try Server(configuration, as: self).run()
        }
        if status != 0 { exit(status) }
    }

    /// - Returns: the exit status.
    private func reporting(to log: Configuration.Log?, _ work: () throws(Failure) -> Void) -> Int32 {
        do throws(Failure) {
            try work()
            return 0
        } catch {
            if let log, let logs = try? Logs(log, line) {
                // Whatever the level is: a program that ends without a word helps nobody.
                logs.logger.log(level: log.level == .critical ? .critical : .error, "\(error.description)")
                logs.flush()
            } else {
                var bytes: [UInt8] = []
                var clock = LogClock()
                line.append(to: &bytes, .plain, at: &clock, .error, error.description, [])
                _ = cs_write(2, bytes, bytes.count)
            }
            return 1
        }
    }

    // MARK: ServerProgram

    func configuration() throws(Failure) -> Configuration {
        do throws(DropInError) {
            return try read()
        } catch {
            throw Failure(.configuration, error.description)
        }
    }

    var line: LogLine { LogLine(host: hostName(), topic: Self.name, lacksNotice: true) }

    /// There is no child, but whoever waits for this record waits for what it stood for.
    func serves(_ configuration: Configuration, _ logger: Logger) {
        logger.info("well: new child", metadata: ["pid": .stringConvertible(getpid())])
    }

    func received(_ signal: Int32, _ logger: Logger) {
        guard signal != SIGHUP else { return logger.warning("well: got sighup") }
        let name = signal == SIGINT ? "interrupt" : "terminated"
        logger.warning("well: got signal", metadata: signalFields.merging(["signal": "\(name)"]) { _, new in new })
    }

    func cuts(_ logger: Logger) { logger.warning("well: timeout waiting for shutdown") }
}

/// Whether the addresses can be listened on, said as Go says it.
private func checkFree(_ addresses: [ListenAddress]) throws(DropInError) {
    for address in addresses {
        do throws(SocketError) {
            try TransparentListener.checkFree(address, ListenerOptions(mode: .redirect))
        } catch {
            // A host without IPv6 serves IPv4 on its "[::]".
            guard error.errno != .addressFamilyNotSupported else { continue }
            throw DropInError("listen tcp \(address): \(goText(error))")
        }
    }
}
