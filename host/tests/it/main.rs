//! The program in real namespaces: every test makes private ones, as root or
//! not, and asks iproute2 what is there.

mod attach;
mod bad_input;
mod burst;
mod collect;
mod confined;
mod console;
mod console_output;
mod contract;
mod core;
mod dependencies;
mod docs;
mod doctor;
mod faults;
mod hello_plugin;
mod host_device;
mod hostile;
mod imports;
mod install;
mod leases;
mod machine;
mod manual;
mod many_leases;
mod outside;
mod plan;
mod plugin_mode;
mod policy;
mod processes;
mod progress;
mod reboot;
mod reference;
mod reproducible;
mod run;
mod show;
mod trace;
mod traffic;
