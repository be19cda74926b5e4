//! From one's groups to the groups that those are in.

use std::collections::HashSet;

use futures_util::future::BoxFuture;

use super::conversation::Trouble;
use super::dn;

/// Groups within groups that are gone up through.
const DEPTH_MAX: usize = 10;

/// Knows the groups that a group is in by itself.
pub trait Above: Send {
    /// Those of this one.
    fn above<'a>(&'a mut self, group: &'a str) -> BoxFuture<'a, Result<Vec<String>, Trouble>>;
}

/// All groups above and with the first ones, each once. More than `most` are an
/// error: nobody is let in by part of what they are in.
pub async fn upwards(first: Vec<String>, most: usize, groups: &mut impl Above) -> Result<Vec<String>, Trouble> {
    let (mut known, mut all, mut level) = (HashSet::new(), Vec::new(), first);
    for _ in 0..=DEPTH_MAX {
        let mut fresh = Vec::new();
        for group in level {
            if known.insert(dn::folded(&group)) {
                fresh.push(group);
            }
        }
        if fresh.is_empty() {
            return Ok(all);
        }
        if all.len() + fresh.len() > most {
            return Err(Trouble::TooMuch);
        }
        all.extend(fresh.iter().cloned());
        level = Vec::new();
        for group in &fresh {
            level.extend(groups.above(group).await?);
            if level.len() > most {
                return Err(Trouble::TooMuch);
            }
        }
    }
    tracing::warn!(depth = DEPTH_MAX, "groups are nested deeper than is gone through");
    Ok(all)
}

#[cfg(test)]
mod tests {
    use futures_util::FutureExt;

    use super::*;

    /// Groups, and those that they are in.
    struct Known(Vec<(&'static str, Vec<&'static str>)>);

    impl Above for Known {
        fn above<'a>(&'a mut self, group: &'a str) -> BoxFuture<'a, Result<Vec<String>, Trouble>> {
            let found = self.0.iter().find(|(name, _)| dn::folded(name) == dn::folded(group));
            let names = found.map(|(_, names)| names.iter().map(|name| (*name).to_owned()).collect());
            async move { Ok(names.unwrap_or_default()) }.boxed()
        }
    }

    /// Each group is in another one.
    struct Endless(usize);

    impl Above for Endless {
        fn above<'a>(&'a mut self, _: &'a str) -> BoxFuture<'a, Result<Vec<String>, Trouble>> {
            self.0 += 1;
            let next = format!("cn={}", self.0);
            async move { Ok(vec![next]) }.boxed()
        }
    }

    async fn walked(
        first: &[&str],
        most: usize,
        above: &[(&'static str, &[&'static str])],
    ) -> Result<Vec<String>, Trouble> {
        let mut known = Known(above.iter().map(|(name, names)| (*name, names.to_vec())).collect());
        upwards(first.iter().map(|name| (*name).to_owned()).collect(), most, &mut known).await
    }

    #[tokio::test]
    async fn groups_of_groups_are_found_and_a_circle_ends() {
        let above: [(&str, &[&str]); 3] =
            [("cn=a", &["cn=b"]), ("cn=b", &["cn=c", "CN=A"]), ("cn=c", &["cn=b", "cn=c"])];
        assert_eq!(walked(&["cn=a"], 9, &above).await.unwrap(), ["cn=a", "cn=b", "cn=c"]);
        assert_eq!(walked(&["cn=a", "CN=A"], 9, &[]).await.unwrap(), ["cn=a"]);
        assert!(walked(&[], 9, &above).await.unwrap().is_empty());
    }

    #[tokio::test]
    async fn too_many_are_an_error_and_too_deep_is_the_end() {
        let above: [(&str, &[&str]); 1] = [("cn=a", &["cn=b", "cn=c"])];
        assert_eq!(walked(&["cn=a"], 2, &above).await, Err(Trouble::TooMuch));
        assert_eq!(walked(&["cn=a", "cn=b", "cn=c"], 2, &[]).await, Err(Trouble::TooMuch));
        assert_eq!(upwards(vec!["cn=a".to_owned()], 500, &mut Endless(0)).await.unwrap().len(), DEPTH_MAX + 1);
    }
}
