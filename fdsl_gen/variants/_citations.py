"""BibTeX entries of the papers that defined the datasets."""

BARADAD_2021_NOISE = """\
@inproceedings{baradad2021noise,
  title     = {Learning to See by Looking at Noise},
  author    = {Baradad, Manel and Wulff, Jonas and Wang, Tongzhou and Isola, Phillip and
               Torralba, Antonio},
  booktitle = {Advances in Neural Information Processing Systems (NeurIPS)},
  year      = {2021}
}"""

CHICHE_2024_MANDELBULB = """\
@inproceedings{chiche2024mandelbulb,
  title     = {Pre-training Vision Models with Mandelbulb Variations},
  author    = {Chiche, Benjamin Naoto and Horikawa, Yuto and Fujita, Ryo},
  booktitle = {Conference on Computer Vision and Pattern Recognition (CVPR)},
  pages     = {22062--22071},
  year      = {2024}
}"""

INSCORE_2025 = """\
@misc{inscore2025,
  title         = {Industrial Synthetic Segment Pre-training},
  eprint        = {2505.13099},
  archivePrefix = {arXiv},
  year          = {2025}
}"""

KATAOKA_2022_PRETRAINING = """\
@article{kataoka2022pretraining,
  title   = {Pre-training without Natural Images},
  author  = {Kataoka, Hirokatsu and Okayasu, Kazushige and Matsumoto, Asato and
             Yamagata, Eisuke and Yamada, Ryosuke and Inoue, Nakamasa and Nakamura, Akio and
             Satoh, Yutaka},
  journal = {International Journal of Computer Vision (IJCV)},
  volume  = {130},
  pages   = {990--1007},
  year    = {2022}
}"""

KATAOKA_2022_REPLACING = """\
@inproceedings{kataoka2022replacing,
  title     = {Replacing Labeled Real-Image Datasets With Auto-Generated Contours},
  author    = {Kataoka, Hirokatsu and Hayamizu, Ryo and Yamada, Ryosuke and Nakashima, Kodai and
               Takashima, Sora and Zhang, Xinyu and Martinez-Noriega, Edgar Josafat and
               Inoue, Nakamasa and Yokota, Rio},
  booktitle = {Conference on Computer Vision and Pattern Recognition (CVPR)},
  year      = {2022}
}"""

MATSUO_2025_MOIREDB = """\
@misc{matsuo2025moiredb,
  title         = {{MoireDB}: Formula-generated Interference-fringe Image Dataset},
  author        = {Matsuo, Yuto and Hayamizu, Ryo and Kataoka, Hirokatsu and Nakamura, Akio},
  year          = {2025},
  eprint        = {2502.01490},
  archiveprefix = {arXiv}
}"""

NAKAMURA_2023_OFDB = """\
@inproceedings{nakamura2023ofdb,
  title     = {Pre-training Vision Transformers with Very Limited Synthesized Images},
  author    = {Nakamura, Ryo and Kataoka, Hirokatsu and Takashima, Sora and
               Martinez Noriega, Edgar Josafat and Yokota, Rio and Inoue, Nakamasa},
  booktitle = {International Conference on Computer Vision (ICCV)},
  year      = {2023}
}"""

NAKAMURA_2024_SCALING = """\
@inproceedings{nakamura2024scaling,
  title     = {Scaling Backwards: Minimal Synthetic Pre-training?},
  author    = {Nakamura, Ryo and Tadokoro, Ryu and Yamada, Ryosuke and Asano, Yuki M. and
               Laina, Iro and Rupprecht, Christian and Inoue, Nakamasa and Yokota, Rio and
               Kataoka, Hirokatsu},
  booktitle = {European Conference on Computer Vision (ECCV)},
  year      = {2024}
}"""

SHINODA_2023_SEGRCDB = """\
@inproceedings{shinoda2023segrcdb,
  title     = {{SegRCDB}: Semantic Segmentation via Formula-Driven Supervised Learning},
  author    = {Shinoda, Risa and Hayamizu, Ryo and Nakashima, Kodai and Inoue, Nakamasa and
               Yokota, Rio and Kataoka, Hirokatsu},
  booktitle = {IEEE/CVF International Conference on Computer Vision (ICCV)},
  year      = {2023}
}"""

TAKASHIMA_2023_VISUAL = """\
@inproceedings{takashima2023visual,
  title     = {Visual Atoms: Pre-Training Vision Transformers With Sinusoidal Waves},
  author    = {Takashima, Sora and Hayamizu, Ryo and Inoue, Nakamasa and Kataoka, Hirokatsu and
               Yokota, Rio},
  booktitle = {IEEE/CVF Conference on Computer Vision and Pattern Recognition (CVPR)},
  year      = {2023}
}"""

YAMADA_2021_MVFRACTALDB = """\
@inproceedings{yamada2021mvfractaldb,
  title     = {MV-FractalDB: Formula-driven Supervised Learning for Multi-view Image Recognition},
  author    = {Yamada, Ryosuke and Takahashi, Ryo and Suzuki, Ryota and Nakamura, Akio and
               Yoshiyasu, Yusuke and Sagawa, Ryusuke and Kataoka, Hirokatsu},
  booktitle = {International Conference on Intelligent Robots and Systems (IROS)},
  year      = {2021}
}"""
