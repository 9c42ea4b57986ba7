/* version.h - weft's version; a test holds it to the build's. */
#ifndef WEFT_LAUNCH_VERSION_H
#define WEFT_LAUNCH_VERSION_H

#define WEFT_VERSION "0.1.0"

#endif
