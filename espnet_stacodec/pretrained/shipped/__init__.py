"""The codecs that come with this package, each in a folder of its name; what makes one."""
