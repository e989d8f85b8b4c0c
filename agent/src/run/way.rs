//! What is wanted of the tunnel.
//!
//! # Correctness
//! It is open while all of this holds: the last verified word said to run this lease and named a gateway, the workload
//! runs, and the word stands, or the lease may go on without the server. It is asked anew after everything that can change
//! one of them, and closed before anything is stopped or erased.

use domain::id::Epoch;

use super::Agent;
use crate::{
    record::Held,
    tunnel::{NoTunnel, Plan},
};

impl Agent {
    /// Opens, changes or closes the tunnel as everything now stands.
    pub(super) fn clear_way(&mut self) {
        let targets = self.config.tunnel.targets(&self.services);
        let proxy = self.config.tunnel.proxy_protocol;
        let runs = self.running == Some(self.epoch());
        let ssh = targets.ssh.clone().filter(|_| runs);
        self.tunnel.look_at(ssh.map(|server| (server, self.services.run.clone())), proxy);
        let plan = self.plan();
        self.tunnel.set(plan);
    }

    /// Closes the tunnel, and forgets what ran.
    pub(super) fn block_way(&mut self) {
        self.services = crate::workload::Services::default();
        self.tunnel.look_at(None, self.config.tunnel.proxy_protocol);
        self.tunnel.set(Err(NoTunnel::NoLease));
    }

    fn plan(&self) -> Result<Plan, NoTunnel> {
        let epoch: Epoch = self.epoch();
        let Held::Leased { grant: Some(grant), .. } = &self.record.held else {
            return Err(NoTunnel::NoLease);
        };
        let goes_on = self.word_stands() || self.offline_resume();
        if self.running != Some(epoch) || grant.epoch != epoch || !goes_on {
            return Err(NoTunnel::NoLease);
        }
        let gateway =
            self.gateway.as_ref().filter(|(of, _)| *of == epoch).map(|(_, gateway)| gateway.clone());
        let plan = Plan {
            gateway: gateway.ok_or(NoTunnel::NoGateway)?,
            epoch,
            subdomain: grant.subdomain.clone(),
            port: grant.port,
            targets: self.config.tunnel.targets(&self.services),
            proxy: self.config.tunnel.proxy_protocol,
        };
        if plan.targets == crate::tunnel::Targets::default() {
            return Err(NoTunnel::NothingOffered);
        }
        Ok(plan)
    }
}
