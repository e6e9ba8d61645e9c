/// Something that owns a descriptor and is told when that is ready: everything but a session, whose two sockets have an
/// encoding of their own.
protocol Watched: AnyObject {
    var raw: Int32 { get }
    /// - Parameter events: what the kernel says of it, as `EPOLLIN` and so on.
    func ready(_ events: UInt32)
}

/// What a loop watches, found by number in constant time. As with sessions, an event may outlive what it was meant for, so the
/// place alone does not name it.
struct WatchTable {
    private struct Place {
        var watched: (any Watched)?
        var generation: UInt32 = 0
    }

    private var places: [Place] = []
    private var free: [UInt32] = []

    mutating func insert(_ watched: any Watched) -> SlotID {
        if let index = free.popLast() {
            places[Int(index)].watched = watched
            return SlotID(index: index, generation: places[Int(index)].generation)
        }
        places.append(Place(watched: watched))
        return SlotID(index: UInt32(places.count - 1), generation: 0)
    }

    mutating func remove(_ id: SlotID) {
        guard find(id) != nil else { return }
        places[Int(id.index)].watched = nil
        places[Int(id.index)].generation &+= 1
        free.append(id.index)
    }

    func find(_ id: SlotID) -> (any Watched)? {
        guard id.index < places.count else { return nil }
        let place = places[Int(id.index)]
        return place.generation == id.generation ? place.watched : nil
    }
}
