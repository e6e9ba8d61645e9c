/// Keeps at least the `count` entries that were used last, and never more than twice as many.
///
/// Two generations in place of a list in the order of use: when the young one is full it becomes the old one, and what was not used
/// in that time is forgotten at once. What is found in the old one moves to the young one.
struct RecentlyUsed<Key: Hashable, Value> {
    let count: Int
    private var young: [Key: Value] = [:]
    private var old: [Key: Value] = [:]

    /// - Parameter count: 1 or more.
    init(count: Int) { self.count = count }

    /// Entries kept now.
    var kept: Int { young.count + old.count }

    /// Reading is using.
    subscript(key: Key) -> Value? {
        mutating get {
            if let value = young[key] { return value }
            guard let value = old.removeValue(forKey: key) else { return nil }
            keep(value, for: key)
            return value
        }
        set {
            old[key] = nil
            if let newValue { keep(newValue, for: key) } else { young[key] = nil }
        }
    }

    private mutating func keep(_ value: Value, for key: Key) {
        if young.count >= count, young[key] == nil {
            old = young
            young = [:]
        }
        young[key] = value
    }
}

extension RecentlyUsed: Sendable where Key: Sendable, Value: Sendable {}
