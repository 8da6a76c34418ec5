"""xds/features"""
