"""Which frames matter: a descriptor, the KDE-GMM threshold, and the online selector."""
