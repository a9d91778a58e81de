//! What is judged is what is sent.

use remit_core::call::Call;

fn exchange(call: &mut Call) {
    call.body = b"{}".to_vec();
    call.arguments = 0..0;
}

fn main() {}
