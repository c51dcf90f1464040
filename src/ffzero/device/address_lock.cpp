// One host for each device: a name in the abstract socket namespace of Linux, which needs no file and vanishes with its holder.
// SPDX-License-Identifier: MIT
#include "ffzero/device/address_lock.hpp"

#include <sys/socket.h>
#include <sys/un.h>

#include <cerrno>
#include <cstdint>
#include <cstring>
#include <filesystem>
#include <string>
#include <system_error>

#include "ffzero/base/error.hpp"
#include "ffzero/device/text.hpp"

namespace ffzero {

namespace {

std::uint64_t fnv1a(std::string_view text, std::uint64_t hash) {
  for (const char c : text) hash = (hash ^ static_cast<unsigned char>(c)) * 1099511628211U;
  return hash;
}

std::string name_of(const DeviceAddress& address) {
  std::string text = address.text;
  if (address.kind == TransportKind::serial || address.kind == TransportKind::local) {
    std::error_code ignored;
    const auto path = std::filesystem::weakly_canonical(address.path, ignored);
    text = ignored ? address.path : path.string();
  }
  const std::uint64_t first = fnv1a(text, 14695981039346656037U), second = fnv1a(text, first ^ 0x9E3779B97F4A7C15U);
  return "ffzero-device-" + std::to_string(first) + "-" + std::to_string(second);
}

}  // namespace

AddressLock::AddressLock(const DeviceAddress& address) : holder_(::socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0)) {
  const std::string name = name_of(address), place = "device " + clean_text(address.text);
  sockaddr_un where{};
  where.sun_family = AF_UNIX;
  std::memcpy(where.sun_path + 1, name.data(), name.size());
  const auto size = static_cast<socklen_t>(offsetof(sockaddr_un, sun_path) + 1 + name.size());
  if (::bind(holder_.get(), reinterpret_cast<const sockaddr*>(&where), size) == 0) {
    ::listen(holder_.get(), 1);
    return;
  }
  if (errno != EADDRINUSE) throw DeviceError(DeviceFailure::refused, place, "the lock of the device cannot be taken", system_reason(errno));
  std::string owner = "another program";
  const Descriptor asking(::socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0));
  ucred who{};
  socklen_t length = sizeof who;
  if (::connect(asking.get(), reinterpret_cast<const sockaddr*>(&where), size) == 0 &&
      ::getsockopt(asking.get(), SOL_SOCKET, SO_PEERCRED, &who, &length) == 0)
    owner = "process " + std::to_string(who.pid);
  throw DeviceError(DeviceFailure::refused, place, "one host at a time may use a device; it is in use", owner, "wait for it or end it");
}

}  // namespace ffzero
