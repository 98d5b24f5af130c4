#![allow(clippy::unwrap_used)]
use super::*;
use crate::models::state;
use rand_xoshiro::Xoshiro256PlusPlus;
use rand_xoshiro::rand_core::SeedableRng;

fn growth(criterion: Criterion) -> Growth {
    Growth {
        criterion,
        max_depth: None,
        min_samples_split: 2,
        min_samples_leaf: 1,
        min_impurity_decrease: 0.0,
        max_features: 2,
        random_thresholds: false,
    }
}

fn table() -> Table {
    Table::new(vec![vec![0.0, 1.0, 2.0, 3.0], vec![5.0, 5.0, 7.0, 5.0]])
}

#[test]
fn the_first_split_separates_most_and_leaves_hold_shares() {
    let outcome = Outcome::Classes {
        index: &[0, 0, 1, 1],
        count: 2,
    };
    for criterion in [Criterion::Gini, Criterion::Entropy] {
        let mut random = Xoshiro256PlusPlus::seed_from_u64(0);
        let grown = grow(
            &table(),
            &outcome,
            &[1.0; 4],
            &growth(criterion),
            &mut random,
        );
        assert_eq!(grown.tree.depth(), 1);
        assert_eq!(grown.tree.leaves(), 2);
        assert_eq!(grown.leaves, [0, 0, 1, 1]);
        assert_eq!(grown.tree.value(grown.tree.leaf(&[1.5, 9.0])), [1.0, 0.0]);
        assert_eq!(grown.tree.value(grown.tree.leaf(&[1.6, 0.0])), [0.0, 1.0]);
        assert!(grown.importances[0] > 0.0 && grown.importances[1] == 0.0);
    }
}

#[test]
fn numbers_are_averaged_and_weights_of_zero_leave_rows_out() {
    let outcome = Outcome::Values(&[1.0, 3.0, 10.0, 12.0]);
    let mut random = Xoshiro256PlusPlus::seed_from_u64(0);
    let shallow = Growth {
        max_depth: Some(1),
        ..growth(Criterion::Variance)
    };
    let grown = grow(
        &table(),
        &outcome,
        &[1.0, 3.0, 1.0, 0.0],
        &shallow,
        &mut random,
    );
    assert_eq!(grown.tree.value(grown.tree.leaf(&[0.0, 0.0])), [2.5]);
    assert_eq!(grown.tree.value(grown.tree.leaf(&[9.0, 0.0])), [10.0]);
}

#[test]
fn stored_trees_come_back_and_loops_are_refused() {
    let outcome = Outcome::Values(&[1.0, 3.0, 10.0, 12.0]);
    let mut random = Xoshiro256PlusPlus::seed_from_u64(0);
    let growth = growth(Criterion::Variance);
    let tree = grow(&table(), &outcome, &[1.0; 4], &growth, &mut random).tree;
    let back: Tree = state::load(&state::save(&tree).unwrap()).unwrap();
    assert_eq!(back.leaves(), 4);
    for at in 0..20 {
        let row = [f64::from(at) / 5.0, 6.0];
        assert_eq!(back.value(back.leaf(&row)), tree.value(tree.leaf(&row)));
    }
    let packed = || Packed::from(tree.clone());
    for right in [0, 1, 99] {
        let mut broken = packed();
        broken.rights[0] = right;
        assert!(Tree::try_from(broken).is_err());
    }
    let mut broken = packed();
    broken.values.pop();
    assert!(Tree::try_from(broken).is_err());
}
