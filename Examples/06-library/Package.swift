// swift-tools-version: 6.2

import PackageDescription

// A program of your own names the repository in place of the path: .package(url: "…", from: "0.1.0").
let package = Package(
    name: "WhereTo",
    dependencies: [.package(name: "clearway", path: "../..")],
    targets: [
        .executableTarget(
            name: "WhereTo", dependencies: [.product(name: "TransparentSockets", package: "clearway")])
    ]
)
