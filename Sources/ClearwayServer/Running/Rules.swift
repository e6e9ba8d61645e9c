internal import CSockets
internal import Configuration
internal import Firewall
internal import Logging
internal import Policy
internal import TransparentSockets

/// The kernel's side of interception, for the time that the program runs.
final class Rules {
    /// CAP_NET_ADMIN, in the numbering of `linux/capability.h`.
    private static let netAdmin: Int32 = 12

    /// The number on all packets of our own; 0 when nothing may or need be marked.
    let mark: UInt32
    private let choice: Choice
    /// Holds the marks against other processes of ours for as long as this one lives.
    private let reservation: MarkReservation?
    private var spec: FirewallSpec?
    private var firewall: OwnedFirewall?
    /// When to try again to make the rules anew, in monotonic nanoseconds; nil while they stand.
    private(set) var retryAt: UInt64?
    private var retryDelay: UInt64 = 1_000_000_000
    private var isDraining = false
    /// When to sweep what finished sessions have left behind, in monotonic nanoseconds; nil: never.
    private(set) var sweepAt: UInt64?

    /// Rules, transparent sockets and marks need CAP_NET_ADMIN; only a redirect with rules by hand can do without.
    static func checkPermission(_ configuration: Configuration) throws(Failure) {
        guard configuration.makesRules || configuration.listeners.contains(where: { $0.mode == .tproxy }) else { return }
        guard Self.hasNetAdmin else {
            throw Failure(.notPermitted, "CAP_NET_ADMIN is missing: run as root, or give the program that capability")
        }
        passPermissionOn()
    }

    /// To nft and ip, which do the work: a capability of the file's alone would end at them.
    static func passPermissionOn() { _ = cs_pass_capability_on(netAdmin) }

    private static var hasNetAdmin: Bool {
        var capabilities: UInt64 = 0
        return cs_effective_capabilities(&capabilities) == 0 && capabilities >> UInt64(netAdmin) & 1 == 1
    }

    /// Chooses marks. Nothing is changed in the kernel yet.
    init(_ configuration: Configuration) throws(Failure) {
        guard configuration.makesRules else {
            choice = .fixed(mark: configuration.firewall.mark, routeTable: configuration.firewall.routeTable)
            // So that another of ours does not choose these marks, and the doctor knows that this one runs. Two that share
            // them by hand may do so.
            reservation = try? MarkReservation(choice.marks)
            mark = Self.hasNetAdmin ? choice.marks.own : 0
            return
        }
        do throws(FirewallError) {
            (choice, reservation) = try MarkReservation.choose(
                mark: configuration.firewall.mark, routeTable: configuration.firewall.routeTable)
        } catch {
            throw Failure(error)
        }
        mark = choice.marks.own
        spec = FirewallSpec(configuration, choice)
    }

    func apply(_ logger: Logger) throws(Failure) {
        guard let spec else { return }
        do throws(FirewallError) {
            let firewall = try OwnedFirewall.apply(spec)
            self.firewall = firewall
            for notice in firewall.notices { logger.notice("\(notice)") }
        } catch {
            throw Failure(error)
        }
    }

    /// Puts the rules of another configuration in place of these. When this throws, these stay.
    func replace(with configuration: Configuration, _ logger: Logger) throws(Failure) {
        guard let firewall else { return }
        let new = FirewallSpec(configuration, choice)
        guard new != spec else { return }
        do throws(FirewallError) {
            if try firewall.replace(with: new) { planSweep() }
            spec = new
            for notice in firewall.notices { logger.notice("\(notice)") }
        } catch {
            throw Failure(error)
        }
    }

    /// New connections take the direct way from now on; the open sessions keep the rules they live by.
    func drain(_ logger: Logger) {
        isDraining = true
        do throws(FirewallError) {
            try firewall?.drain()
        } catch {
            logger.error(
                "interception could not be ended: new connections may be refused until the stop is complete",
                metadata: ["reason": "\(error)"])
        }
        planSweep()
    }

    /// A connection that goes direct now, from a port whose last session has just ended, gets through after a second. While
    /// draining that comes again and again; after a reload what was just being closed is swept once more.
    func sweep() {
        firewall?.sweepTimeWait()
        sweepAt = nil
        if isDraining { planSweep() }
    }

    private func planSweep() {
        guard let firewall, firewall.hasTimeWaitToSweep else { return }
        sweepAt = cs_monotonic_nanoseconds() + 1_000_000_000
    }

    func remove() {
        firewall?.remove()
        firewall = nil
    }

    /// Readable when the child that owns the rules has died.
    var watched: Int32? {
        guard let descriptor = firewall?.childDescriptor, descriptor >= 0 else { return nil }
        return descriptor
    }

    /// Somebody killed the child, and the kernel removed the rules with it: they are made anew.
    func restore(_ logger: Logger) {
        guard let firewall else { return }
        logger.error("the process that owns the rules died, and the rules with it: making them anew")
        do throws(FirewallError) {
            try firewall.reapply()
            (retryAt, retryDelay) = (nil, 1_000_000_000)
        } catch {
            logger.critical(
                "the rules are gone and cannot be made anew: nothing is intercepted",
                metadata: ["reason": "\(error)", "again_in": .stringConvertible(retryDelay / 1_000_000_000)])
            retryAt = cs_monotonic_nanoseconds() + retryDelay
            retryDelay = min(retryDelay * 2, 60_000_000_000)
        }
    }
}

extension Configuration {
    /// Whether there are rules of ours in the kernel while it is in force.
    var makesRules: Bool { firewall.manage && intercepts }
    /// By rules of ours or of somebody else's.
    var intercepts: Bool { listeners.contains(where: \.mode.intercepts) }
}

extension FirewallSpec {
    init(_ configuration: Configuration, _ choice: Choice) {
        let firewall = configuration.firewall
        self.init(
            table: firewall.table, priority: firewall.priority, onDown: firewall.onDown == .direct ? .direct : .reject,
            marks: choice.marks, routeTable: choice.routeTable, preference: choice.preference, forwarding: isForwarding(),
            interceptions: configuration.listeners.filter(\.mode.intercepts).map(Interception.init))
        // Without one they cannot be told from what others send.
        exitMarks = configuration.upstreams.compactMap(\.exit?.mark).filter { $0 != 0 }
    }
}

extension Interception {
    init(_ listener: Listener) {
        self.init(
            name: listener.name, mode: listener.mode == .tproxy ? .tproxy : .redirect,
            protocols: Set(listener.protocols.map { $0 == .tcp ? .tcp : .udp }), listen: listener.listen,
            interfaces: listener.interfaces, local: listener.local,
            ports: listener.ports, destinations: listener.destinations, exclude: listener.exclude, clients: listener.clients,
            preservesSource: listener.preserveSource != .off)
    }
}

extension Failure {
    init(_ error: FirewallError) {
        self.init(ExitCode(rawValue: error.exitCode) ?? .software, error.description)
    }
}
