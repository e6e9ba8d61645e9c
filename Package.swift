// swift-tools-version: 6.2

import PackageDescription

// One set of rules for every module: Swift 6 concurrency, spelled-out existentials, imports that do not leak.
let strict: [SwiftSetting] = [
    .swiftLanguageMode(.v6),
    .enableUpcomingFeature("ExistentialAny"),
    .enableUpcomingFeature("InternalImportsByDefault"),
    .enableUpcomingFeature("MemberImportVisibility"),
    .enableUpcomingFeature("NonisolatedNonsendingByDefault"),
]

// Targets are listed from the bottom to the top: each may import only what stands above it in this file.
let package = Package(
    name: "clearway",
    products: [
        .library(name: "TransparentSockets", targets: ["TransparentSockets"])
    ],
    dependencies: [
        .package(url: "https://github.com/apple/swift-system", from: "1.8.1")
    ],
    targets: [
        .target(name: "CSockets"),
        .target(
            name: "TransparentSockets",
            dependencies: ["CSockets", .product(name: "SystemPackage", package: "swift-system")],
            swiftSettings: strict),
        .target(
            name: "DataPlane",
            dependencies: ["TransparentSockets", "CSockets", .product(name: "SystemPackage", package: "swift-system")],
            swiftSettings: strict),
        .target(name: "Firewall", dependencies: ["TransparentSockets", "CSockets"], swiftSettings: strict),
        .testTarget(
            name: "FirewallTests", dependencies: ["Firewall", "TransparentSockets", "CSockets"], exclude: ["Golden"],
            swiftSettings: strict),
    ]
)
