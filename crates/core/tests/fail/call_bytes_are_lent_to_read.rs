//! What is judged is what is sent: whoever reads the bytes does not write them.

use remit_core::call::Call;

fn exchange(call: &mut Call) {
    call.body()[0] = b'[';
}

fn main() {}
