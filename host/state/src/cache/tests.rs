use super::*;

fn attachment(container_id: &str) -> Attachment {
    Attachment::new(container_id, "eth0", "/run/netns/x")
}

#[test]
fn dashes_in_names_do_not_mix_attachments_up() {
    let directory = tempfile::tempdir().unwrap();
    let cache = Cache::new(directory.path().to_owned());
    let put = |network: &str, id: &str, result: &str| {
        cache.put(network, &attachment(id), b"{}", Value::from(result), || Ok(())).unwrap();
    };
    let result = |network: &str, id: &str| cache.result(network, &attachment(id)).unwrap();
    put("a", "b-c", "first");
    assert!(directory.path().join("a-b-c-eth0").exists(), "the reference's name");
    assert_eq!(result("a-b", "c"), None, "another one's");
    put("a-b", "c", "second");
    assert_eq!((result("a", "b-c"), result("a-b", "c")), (Some("first".into()), Some("second".into())));
    assert_eq!(cache.list(None).len(), 2);
    cache.remove("a", &attachment("b-c"));
    assert_eq!((result("a", "b-c"), result("a-b", "c")), (None, Some("second".into())));
    put("a-b", "c", "third");
    cache.remove("a-b", &attachment("c"));
    assert_eq!(cache.list(None).len(), 0);
}

#[test]
fn what_cannot_be_read_is_not_taken_for_absent() {
    let directory = tempfile::tempdir().unwrap();
    let cache = Cache::new(directory.path().to_owned());
    cache.put("n", &attachment("c"), b"{}", Value::Null, || Ok(())).unwrap();
    assert_eq!(cache.all_of_network("n").unwrap().len(), 1);
    fs::write(directory.path().join("n-d-eth0"), "{").unwrap();
    assert!(cache.all_of_network("n").unwrap_err().msg.contains("n-d-eth0"));
    assert!(cache.all_of_network("m").is_ok(), "of another network");
}

#[test]
fn names_that_are_too_long_for_a_file_are_shortened() {
    let directory = tempfile::tempdir().unwrap();
    let cache = Cache::new(directory.path().to_owned());
    let ids = ["b", "c"].map(|end| format!("{}{end}", "a".repeat(300)));
    for id in &ids {
        cache.put("n", &attachment(id), b"{}", Value::from(&**id), || Ok(())).unwrap();
    }
    for id in &ids {
        assert_eq!(cache.result("n", &attachment(id)).unwrap(), Some(Value::from(&**id)));
        cache.remove("n", &attachment(id));
    }
    assert_eq!(cache.list(None).len(), 0);
}

#[test]
fn what_is_in_the_way_and_cannot_be_read_is_somebody_else_s() {
    let directory = tempfile::tempdir().unwrap();
    let cache = Cache::new(directory.path().to_owned());
    fs::create_dir(directory.path().join("n-a-eth0")).unwrap();
    std::os::unix::fs::symlink("/nonexistent", directory.path().join("n-b-eth0")).unwrap();
    File::create(directory.path().join("n-c-eth0")).unwrap().set_len(MAX_ENTRY + 1).unwrap();
    for id in ["a", "b", "c"] {
        let put = |result: &str| {
            let is_new = std::cell::Cell::new(false);
            let note = || {
                is_new.set(true);
                Ok(())
            };
            cache.put("n", &attachment(id), b"{}", Value::from(result), note).unwrap();
            is_new.get()
        };
        assert_eq!((put("first"), put("second")), (true, false), "{id}");
        assert_eq!(cache.result("n", &attachment(id)).unwrap(), Some("second".into()));
        cache.remove("n", &attachment(id));
        assert!(fs::symlink_metadata(directory.path().join(format!("n-{id}-eth0"))).is_ok());
    }
    // Nor is it written over if its longer name is taken, too.
    let (path, _) = cache.find("n", &attachment("a"));
    fs::create_dir(&path).unwrap();
    assert!(cache.put("n", &attachment("a"), b"{}", Value::Null, || Ok(())).is_err() && path.is_dir());
}
