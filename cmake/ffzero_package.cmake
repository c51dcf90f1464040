# Two packages for Debian and Ubuntu, by `cpack --preset deb` in a built folder or all at once by tools/package.sh: ffzero (the program) and
# libffzero-dev (headers, static libraries, CMake and pkg-config files).
set(FFZERO_MAINTAINER "The ffzero authors <ffzero@packages.invalid>" CACHE STRING "Who answers for the packages that cpack makes: NAME <ADDRESS>")

set(CPACK_PACKAGE_NAME ffzero)
set(CPACK_PACKAGE_DESCRIPTION_SUMMARY "train neural networks with forward evaluations only")
set(CPACK_PACKAGE_CONTACT ${FFZERO_MAINTAINER})
set(CPACK_PACKAGING_INSTALL_PREFIX /usr)
set(CPACK_STRIP_FILES ON)
set(CPACK_INSTALL_DEFAULT_DIRECTORY_PERMISSIONS OWNER_READ OWNER_WRITE OWNER_EXECUTE GROUP_READ GROUP_EXECUTE WORLD_READ WORLD_EXECUTE)
set(CPACK_COMPONENTS_ALL development)
if(FFZERO_APP)
  list(APPEND CPACK_COMPONENTS_ALL program)
endif()
set(CPACK_PRE_BUILD_SCRIPTS ${PROJECT_SOURCE_DIR}/cmake/ffzero_package_debian.cmake)

set(CPACK_DEB_COMPONENT_INSTALL ON)
set(CPACK_COMPONENTS_GROUPING IGNORE)
set(CPACK_DEBIAN_FILE_NAME DEB-DEFAULT)
set(CPACK_DEBIAN_PACKAGE_RELEASE 1)
set(CPACK_DEBIAN_PACKAGE_PRIORITY optional)
set(text "Layers learn one after another, from losses of their own, whose slopes are\nmeasured by evaluating them: no backward pass, no automatic differentiation.\nA layer may be simulated, or a device that is only asked for its output.")

set(CPACK_DEBIAN_PROGRAM_PACKAGE_NAME ffzero)
set(CPACK_DEBIAN_PROGRAM_PACKAGE_SECTION science)
set(CPACK_DEBIAN_PROGRAM_PACKAGE_SHLIBDEPS ON)
set(CPACK_DEBIAN_PROGRAM_PACKAGE_RECOMMENDS gnuplot-nox)
set(CPACK_DEBIAN_PROGRAM_DESCRIPTION "${text}")

set(CPACK_DEBIAN_DEVELOPMENT_PACKAGE_NAME libffzero-dev)
set(CPACK_DEBIAN_DEVELOPMENT_PACKAGE_SECTION libdevel)
set(depends "libeigen3-dev (>= 3.4), libfmt-dev, nlohmann-json3-dev, libtomlplusplus-dev, zlib1g-dev, libdeflate-dev, libpng-dev, libssl-dev, libopenblas-dev, libhwy-dev, pkgconf")
if(FFZERO_FETCH)
  string(APPEND depends ", libcurl4-openssl-dev | libcurl4-gnutls-dev")
endif()
set(CPACK_DEBIAN_DEVELOPMENT_PACKAGE_DEPENDS ${depends})
set(CPACK_DEBIAN_DEVELOPMENT_DESCRIPTION "${text}\n.\nHeaders and static libraries for programs in C++20.")

# What Debian wants beside: ffzero_package_debian.cmake puts them into their places. The date is that of SOURCE_DATE_EPOCH if it is set.
string(TIMESTAMP date "%a, %d %b %Y %H:%M:%S +0000" UTC)
file(CONFIGURE OUTPUT ${PROJECT_BINARY_DIR}/debian/changelog CONTENT
     "ffzero (${PROJECT_VERSION}-1) unstable; urgency=medium\n\n  * Version ${PROJECT_VERSION}; what changed stands in changelog.gz.\n\n -- ${FFZERO_MAINTAINER}  ${date}\n")
set(CPACK_FFZERO_DEBIAN ${PROJECT_BINARY_DIR}/debian)
set(CPACK_FFZERO_SOURCE ${PROJECT_SOURCE_DIR})
include(CPack)
