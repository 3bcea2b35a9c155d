//! Which area a command works on.

#[test]
#[cfg_attr(miri, ignore = "too long for an interpreter")]
fn a_default_area_that_nobody_asked_for_is_the_last_choice() {
    for (device, unasked, name) in
        [(true, false, "camera"), (true, true, "camera"), (false, false, "reserved"), (false, true, "first")]
    {
        let mut pages = std::vec![crate::mm::Page::default(); crate::mm::zone::descriptors(4096)];
        let user = crate::dt::AreaUser { device: "camera@10020000".into(), area: "camera".into() };
        let users = if device { std::vec![user] } else { std::vec![] };
        let mut system =
            crate::system::System::new(crate::mm::zone::Zone::new(crate::units::Pfn(0x60000), &mut pages), users);
        for (place, area) in ["first", "camera", "reserved"].into_iter().enumerate() {
            let base = crate::units::Pfn(0x60400 + 1024 * place as u32);
            system.activate_area(area.into(), base, 1024, area == "reserved");
        }
        if unasked {
            system.set_default_unasked();
        }
        let chosen = system.unnamed_area().map(|id| system.area(id).name());
        assert_eq!(chosen, Some(name));
        assert_eq!(system.default_area().map(|id| system.area(id).name()), Some("reserved"));
    }
}
