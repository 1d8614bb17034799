"""Open reproduction of the JFT-300M paper (Sun et al., ICCV 2017).

Importing any part of the package first quiets TensorFlow's start-up messages;
set TF_CPP_MIN_LOG_LEVEL=0 to see them.
"""

import os
import warnings

os.environ.setdefault('TF_CPP_MIN_LOG_LEVEL', '3')
warnings.filterwarnings('ignore', module=r'google\.(api_core|auth|oauth2)')
warnings.filterwarnings('ignore', module=r'tensorflow_addons')
