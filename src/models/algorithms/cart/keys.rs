//! Values and their places packed into one integer each, which sorts faster than pairs.

/// Keys with at least this many rows are sorted by radix.
const RADIX_ROWS: usize = 1024;

/// A key that sorts by value, then by place.
#[inline]
pub(super) fn key(value: f32, place: usize) -> u64 {
    u64::from(ordered(value)) << 32 | place as u64
}

/// The place in a key.
#[inline]
pub(super) fn place(key: u64) -> usize {
    (key & 0xFFFF_FFFF) as usize
}

/// Bits of a number that compare like it.
#[inline]
fn ordered(value: f32) -> u32 {
    let bits = value.to_bits();
    bits ^ (((bits as i32 >> 31) as u32) | 0x8000_0000)
}

/// The number in a key.
#[inline]
pub(super) fn value(key: u64) -> f32 {
    let bits = (key >> 32) as u32;
    f32::from_bits(if bits >> 31 == 1 {
        bits ^ 0x8000_0000
    } else {
        !bits
    })
}

/// Sorts keys; long ones by three rounds of 11 bits over the upper half, which keep the
/// order of places because the places come in ascending.
pub(super) fn sort(keys: &mut Vec<u64>, scratch: &mut Vec<u64>) {
    if keys.len() < RADIX_ROWS {
        keys.sort_unstable();
        return;
    }
    scratch.clear();
    scratch.resize(keys.len(), 0);
    for shift in [32, 43, 54] {
        let digit = |key: u64| (key >> shift) as usize & 0x7FF;
        let mut starts = [0_u32; 2048];
        for key in keys.iter() {
            starts[digit(*key)] += 1;
        }
        if starts.iter().any(|count| *count as usize == keys.len()) {
            continue;
        }
        let mut sum = 0;
        for start in &mut starts {
            let count = *start;
            *start = sum;
            sum += count;
        }
        for key in keys.iter() {
            let place = &mut starts[digit(*key)];
            scratch[*place as usize] = *key;
            *place += 1;
        }
        std::mem::swap(keys, scratch);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn keys_sort_like_their_numbers(values in prop::collection::vec(-1e30_f32..1e30, 2..3000)) {
            let mut keys: Vec<u64> = values
                .iter()
                .enumerate()
                .map(|(place, v)| key(*v, place))
                .collect();
            let mut expected = values.clone();
            expected.sort_by(f32::total_cmp);
            sort(&mut keys, &mut Vec::new());
            let sorted: Vec<f32> = keys.iter().map(|key| value(*key)).collect();
            prop_assert_eq!(sorted, expected);
            prop_assert!(keys.windows(2).all(|pair| pair[0] < pair[1]));
        }
    }
}
